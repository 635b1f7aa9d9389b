"""Figures of images: rows of a grid, each image pixel a whole number of picture pixels.

Samples are always the first of their sets, validation images evenly spaced in their split: none is chosen.
"""

import json
from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.figures.common import DPI, Inputs, labelled_paths, paths_of, read_csv, read_images
from bright_pipeline.stages.figures import FigureJob

COLUMNS = 8
NEIGHBOUR_COLUMNS = 6  # the generated image and its five neighbours
ROWS = {"fig07": 2, "fig08": 2, "fig09": 6, "fig11": 12, "fig13": 12, "interpolation": 6, "resolutions": 6, "groups": 6}
DEFAULT_ROWS = 8

SMALLEST_SIDE = 128  # picture pixels; smaller images are enlarged by a whole factor (nearest neighbour)
GAP = 4
MARGIN = 12
HEADING_HEIGHT = 34
LABEL_GAP = 10
LABEL_POINTS = 8

Row = tuple[str, Sequence[np.ndarray]]  # a label and the images beside each other, each (R, R, C) uint8


def in_rows(images: Sequence[np.ndarray], columns: int, label: str = "") -> list[Row]:
    """Images row by row; the label belongs to the first row."""
    return [("" if start else label, images[start : start + columns]) for start in range(0, len(images), columns)]


def image_grid(rows: Sequence[Row], headings: Sequence[str] = ()) -> Figure:
    """Draw rows of images of one resolution; labels may be empty. Headings name the first columns."""
    sides = {image.shape[0] for _, images in rows for image in images}
    if len(sides) != 1:
        resolutions = ", ".join(map(str, sorted(sides))) or "none"
        raise InputError(f"figure: needs at least one image, all of one resolution; found resolutions {resolutions}")
    side = sides.pop()
    scale = max(1, -(-SMALLEST_SIDE // side))
    cell = side * scale
    widths = [TextPath((0, 0), label, size=LABEL_POINTS).get_extents().width for label, _ in rows if label]
    left = MARGIN + (ceil(max(widths) * DPI / 72) + LABEL_GAP if widths else 0)
    top = MARGIN + (HEADING_HEIGHT if headings else 0)
    columns = max(len(images) for _, images in rows)
    width = left + columns * (cell + GAP) - GAP + MARGIN
    height = top + len(rows) * (cell + GAP) - GAP + MARGIN
    canvas = np.zeros((height, width, 4), np.uint8)  # transparent between the images
    for index, (_, images) in enumerate(rows):
        y = top + index * (cell + GAP)
        for column, image in enumerate(images):
            x = left + column * (cell + GAP)
            canvas[y : y + cell, x : x + cell, :3] = image.repeat(scale, 0).repeat(scale, 1)  # gray in all three
            canvas[y : y + cell, x : x + cell, 3] = 255
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    figure.figimage(canvas)
    for index, (label, _) in enumerate(rows):
        y = top + index * (cell + GAP) + cell / 2
        x = left - LABEL_GAP
        figure.text(x / width, 1 - y / height, label, ha="right", va="center", fontsize=LABEL_POINTS)
    for column, heading in enumerate(headings):
        x = left + column * (cell + GAP) + cell / 2
        y = top - HEADING_HEIGHT / 2
        figure.text(x / width, 1 - y / height, heading, ha="center", va="center", fontsize=LABEL_POINTS - 1)
    return figure


def reconstruction_pairs(job: FigureJob, inputs: Inputs) -> Figure:
    """Figures 1 and 6: originals, each autoencoder's reconstructions of the same images, and in figure 1 samples."""
    rows = [("Original", read_images(paths_of(inputs, "validation"), COLUMNS, are_spaced=True))]
    for label, paths in labelled_paths(inputs, "reconstructions").items():
        rows.append((label or "Reconstruction", read_images(paths, COLUMNS, are_spaced=True)))
    if "samples" in inputs:
        rows.append(("Generated", read_images(paths_of(inputs, "samples"), COLUMNS)))
    return image_grid(rows)


def samples(job: FigureJob, inputs: Inputs) -> Figure:
    """Figures 7, 8, 10, 12 and 14: the first samples of each set, one set below the other."""
    count, sets = ROWS.get(job.figure, DEFAULT_ROWS) * COLUMNS, labelled_paths(inputs, "samples").items()
    return image_grid([row for label, paths in sets for row in in_rows(read_images(paths, count), COLUMNS, label)])


def neighbours(job: FigureJob, inputs: Inputs) -> Figure:
    """Figures 9, 11 and 13: generated images, each followed by its nearest training images by LPIPS."""
    table = read_neighbours(paths_of(inputs, "neighbours")[0])
    generated, train = (ImageArchive(paths_of(inputs, name)) for name in ("samples", "train"))
    number = {name: index for index, name in enumerate(train.names)}
    rows: list[Row] = []
    for index, name in enumerate(generated.names[: ROWS.get(job.figure, DEFAULT_ROWS)]):
        nearest = table[table["image"] == name].sort_values("rank")["train_image"].tolist()
        if not nearest:
            break
        images = [train.read(number[image]) for image in nearest[: NEIGHBOUR_COLUMNS - 1]]
        rows.append(("", [generated.read(index), *images]))
    return image_grid(rows, ["Generated", "Nearest"])


def read_neighbours(path: Path) -> pd.DataFrame:
    """The rows of generated images in the csv of `bright_pipeline.nearest_neighbours`."""
    frame = read_csv(path, f"neighbours {path}", "set", "image", "rank", "train_image")
    return frame[frame["set"] == "generated"]


def exploration(job: FigureJob, inputs: Inputs) -> Figure:
    """Beyond the paper: a sheet of `bright_pipeline.explore_codes` with the names of its columns."""
    path = paths_of(inputs, "columns")[0]
    with readable(f"columns {path}: needs to be JSON with the columns of {job.figure}"):
        columns = [str(column) for column in json.loads(path.read_text(encoding="utf-8"))[job.figure]]
    images = read_images(paths_of(inputs, "images"), ROWS.get(job.figure, DEFAULT_ROWS) * len(columns))
    return image_grid(in_rows(images, len(columns)), columns)
