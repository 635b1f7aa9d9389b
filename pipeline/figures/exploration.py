"""Beyond the paper: interpolation in key-code space, the effect of each resolution, what one group tells."""

import json
from pathlib import Path

from matplotlib.figure import Figure

from pipeline.base.errors import InputError
from pipeline.figures.image_grid import image_grid, in_rows
from pipeline.figures.inputs import Inputs, first_images, paths_of
from pipeline.stages.figures import FigureJob


def sheet(job: FigureJob, inputs: Inputs) -> Figure:
    """A sheet of `pipeline.explore_codes`, its columns named."""
    columns = _columns(paths_of(inputs, "columns")[0], job.figure)
    images = first_images(paths_of(inputs, "images"), (job.rows or 6) * len(columns))
    return image_grid(in_rows(images, len(columns)), job.title, columns)


def _columns(path: Path, figure: str) -> list[str]:
    try:
        columns = json.loads(path.read_text(encoding="utf-8"))[figure]
    except (ValueError, KeyError) as error:
        raise InputError(f"columns {path}: a JSON file with the columns of {figure} is needed ({error})") from None
    return [str(column) for column in columns]
