"""Files of arrays (npz), read without pickle. A damaged or forged file raises InputError."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from bright_pipeline.base.errors import readable


@contextmanager
def arrays(path: Path, where: str, made_by: str) -> Iterator[Any]:
    """The arrays of a file by name, each read when it is accessed. The message of an InputError begins with `where`."""
    with readable(f"{where} {path}: not a file of {made_by}"):
        # A damaged header may announce another size than the array has, which would be allocated.
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                with archive.open(member) as file:
                    version = npy.read_magic(file)
                    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                    shape, _, dtype = read(file)
                    if prod(shape) * dtype.itemsize != member.file_size - file.tell():
                        raise ValueError(f"{member.filename}: {shape} of {dtype} are not {member.file_size} bytes")
        with np.load(path, allow_pickle=False) as content:
            yield content
