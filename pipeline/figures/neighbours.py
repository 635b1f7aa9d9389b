"""Figures 9, 11 and 13: generated images, and to the right of each its nearest training images by LPIPS."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from pipeline.data.archive import ImageArchive
from pipeline.figures.image_grid import Row, image_grid
from pipeline.figures.inputs import Inputs, paths_of, read_csv
from pipeline.stages.figures import FigureJob

COLUMNS = 6  # the generated image and five neighbours
ROWS = {"fig09": 6, "fig11": 12, "fig13": 12}


def neighbours(job: FigureJob, inputs: Inputs) -> Figure:
    """The first generated images, in their order: nothing is chosen."""
    table = read_neighbours(paths_of(inputs, "neighbours")[0])
    generated, train = (ImageArchive(paths_of(inputs, name)) for name in ("samples", "train"))
    number = {name: index for index, name in enumerate(train.names)}
    rows: list[Row] = []
    for index, name in enumerate(generated.names[: job.rows or ROWS[job.figure]]):
        nearest = table[table["image"] == name].sort_values("rank")["train_image"].tolist()
        if not nearest:
            break
        shown = [train.read(number[image]) for image in nearest[: (job.columns or COLUMNS) - 1]]
        rows.append(("", [generated.read(index), *shown]))
    return image_grid(rows, job.title, ["Generated", "Nearest"])


def read_neighbours(path: Path) -> pd.DataFrame:
    """The rows of generated images in the csv of `pipeline.nearest_neighbours`."""
    frame = read_csv(path, f"neighbours {path}", "set", "image", "rank", "train_image")
    return frame[frame["set"] == "generated"]
