"""The common style of all figures: one palette, one font, and the same bytes for the same numbers."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pipeline.base.atomic import atomic_path

DPI = 200
# Okabe and Ito's palette for colour-blind readers (https://jfly.uni-koeln.de/color).
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442", "#000000")

mpl.use("Agg")
mpl.rc("font", family="DejaVu Sans", size=8)  # ships with matplotlib, so text looks the same everywhere
mpl.rc("axes", titlesize=8, labelsize=8, grid=True, axisbelow=True)
mpl.rc("axes.spines", top=False, right=False)
mpl.rc("grid", color="#DDDDDD", linewidth=0.6)
mpl.rc("lines", linewidth=1.2)
mpl.rc("legend", frameon=False, fontsize=7)
mpl.rc(("xtick", "ytick"), labelsize=7)
mpl.rc("figure", titlesize=10)
mpl.rc("pdf", fonttype=42)


def panels(
    count: int, columns: int, title: str = "", width: float = 2.3, height: float = 1.8
) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, row by row, and a title; width and height in inches per panel."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.35), dpi=DPI, layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for spare in grid[count:]:
        spare.set_visible(False)
    if title:
        figure.suptitle(title)
    return figure, list(grid[:count])


def plain_ticks(axis: Axis, minor: Sequence[int] = (2, 3, 5, 7)) -> None:
    """Label a logarithmic axis with plain numbers: powers of ten, and these multiples of them."""
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}")
    axis.set_minor_locator(LogLocator(subs=minor))


def save(figure: Figure, png: Path | None, pdf: Path | None) -> None:
    """Write the figure atomically, without dates or versions in its metadata."""
    for path, kind, omitted in ((png, "png", ("Software",)), (pdf, "pdf", ("CreationDate", "Creator", "Producer"))):
        if path is not None:
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=dict.fromkeys(omitted))


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """A colour for each label, in order."""
    return {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(labels)}
