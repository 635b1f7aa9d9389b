"""Rows of images with their labels, each image pixel a whole number of picture pixels."""

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath

from pipeline.base.errors import InputError
from pipeline.figures.style import DPI, shown

SMALLEST_SIDE = 128  # in picture pixels: below, images are enlarged by a whole factor (nearest neighbour)
GAP = 4
MARGIN = 12
TITLE_HEIGHT = 60
HEADING_HEIGHT = 34
LABEL_GAP = 10
LABEL_POINTS = 8

Row = tuple[str, Sequence[np.ndarray]]
"""Images side by side, with their label."""


def label_width(labels: Sequence[str]) -> int:
    """Picture pixels that the longest label takes, with its gap to the images; 0 without labels."""
    widths = [TextPath((0, 0), label, size=LABEL_POINTS).get_extents().width for label in labels if label]
    return ceil(max(widths) * DPI / 72) + LABEL_GAP if widths else 0


def in_rows(images: Sequence[np.ndarray], columns: int, label: str = "") -> list[Row]:
    """Images row by row, the label before the first of them."""
    starts = range(0, len(images), columns)
    return [("" if start else label, images[start : start + columns]) for start in starts]


def image_grid(rows: Sequence[Row], title: str = "", headings: Sequence[str] = ()) -> Figure:
    """Labelled rows of (R, R, C) uint8 images; labels may be empty. The headings stand above the first columns."""
    sides = {image.shape[0] for _, images in rows for image in images}
    if len(sides) != 1:
        found = ", ".join(map(str, sorted(sides))) or "none"
        raise InputError(f"figure: images of one resolution, at least one of them, are needed; found {found}")
    side = sides.pop()
    scale = max(1, -(-SMALLEST_SIDE // side))
    cell = side * scale
    left = MARGIN + label_width([label for label, _ in rows])
    top = MARGIN + (TITLE_HEIGHT if title else 0) + (HEADING_HEIGHT if headings else 0)
    columns = max(len(images) for _, images in rows)
    width = left + columns * (cell + GAP) - GAP + MARGIN
    height = top + len(rows) * (cell + GAP) - GAP + MARGIN
    canvas = np.full((height, width, 3), 255, np.uint8)
    for index, (_, images) in enumerate(rows):
        y = top + index * (cell + GAP)
        for column, image in enumerate(images):
            x = left + column * (cell + GAP)
            canvas[y : y + cell, x : x + cell] = shown(image).repeat(scale, 0).repeat(scale, 1)
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
    if title:
        figure.text(0.5, 1 - (MARGIN + TITLE_HEIGHT / 2) / height, title, ha="center", va="center", fontsize=9)
    return figure
