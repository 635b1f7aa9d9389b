"""Files of arrays (npz), read without pickle; one that is damaged or made up is refused in one line."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from pipeline.base.errors import InputError, error_text


@contextmanager
def arrays(path: Path, where: str, made_by: str) -> Iterator[Any]:
    """The arrays of one file by name, read as they are asked for; InputError begins with `where`."""
    try:
        _check_sizes(path)
        with np.load(path, allow_pickle=False) as found:
            yield found
    except (InputError, MemoryError):
        raise
    except Exception as error:  # readers raise whatever damaged bytes lead them to
        raise InputError(f"{where} {path}: not a file of {made_by} ({error_text(error)})") from None


def _check_sizes(path: Path) -> None:
    """ValueError where an array's header asks for other bytes than follow it: what it asks for would be allocated."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                version = npy.read_magic(file)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                shape, _, dtype = read(file)
                if prod(shape) * dtype.itemsize != member.file_size - file.tell():
                    raise ValueError(f"{member.filename}: {shape} of {dtype} are not {member.file_size} bytes")
