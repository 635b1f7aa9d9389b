"""Inputs of figures and pages: `name=path`, repeated for several files, or `name:LABEL=path`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.base.errors import InputError
from pipeline.base.summary import Summary, read_summary
from pipeline.data.archive import ImageArchive

Inputs = dict[str, list[Path]]


def parse_inputs(arguments: Sequence[str]) -> Inputs:
    """Names and their paths, in the order given."""
    inputs: Inputs = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals or not name or not path:
            raise InputError(f"input {argument!r}: should be NAME=PATH, such as validation=images.zip")
        inputs.setdefault(name, []).append(Path(path))
    return inputs


def paths_of(inputs: Inputs, name: str) -> list[Path]:
    """The paths of a required input."""
    if name not in inputs:
        raise InputError(f"input {name}=PATH is missing; given: {', '.join(inputs) or 'none'}")
    for path in inputs[name]:
        if not path.is_file():
            raise InputError(f"input {name}={path}: no such file")
    return inputs[name]


def labelled_paths(inputs: Inputs, name: str) -> dict[str, list[Path]]:
    """Label -> paths of `name:LABEL=path`; a bare `name=path` has the label ""."""
    labels = [key for key in inputs if key.partition(":")[0] == name]
    return {key.partition(":")[2]: paths_of(inputs, key) for key in labels or [name]}


def summaries(inputs: Inputs, name: str) -> dict[str, Summary]:
    """Label -> summary of `name:LABEL=path`."""
    return {label: read_summary(paths[0]) for label, paths in labelled_paths(inputs, name).items()}


def read_csv(path: Path, where: str, *needed: str) -> pd.DataFrame:
    """Read a csv with these columns; `where` starts the error message."""
    try:
        frame = pd.read_csv(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{where}: not a csv ({error})") from None
    if absent := [column for column in needed if column not in frame]:
        raise InputError(f"{where}: the columns {', '.join(absent)} are missing; found {', '.join(frame)}")
    return frame


def first_images(paths: list[Path], count: int) -> list[np.ndarray]:
    """The first `count` images (fewer if there are fewer), each (R, R, C) uint8."""
    archive = ImageArchive(paths)
    return [archive.read(index) for index in range(min(count, len(archive)))]
