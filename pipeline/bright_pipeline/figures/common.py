"""Inputs and style of all figures: one palette, one font, and the same bytes for the same numbers.

Inputs of figures and pages are `name=path`, repeated for several files, or `name:LABEL=path`.
"""

from collections.abc import Sequence
from colorsys import hls_to_rgb, rgb_to_hls
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.base.parsing import named_paths
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.engine.atomic import atomic_path

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
mpl.rc("pdf", fonttype=42)

Inputs = dict[str, list[Path]]


def parse_inputs(arguments: Sequence[str]) -> Inputs:
    inputs: Inputs = {}
    for name, path in named_paths(arguments):
        inputs.setdefault(name, []).append(path)
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


def read_csv(path: Path, where: str, *needed: str) -> pd.DataFrame:
    """Read a csv with these columns; `where` starts the error message."""
    with readable(f"{where}: not a csv"):
        frame = pd.read_csv(path)
    if absent := [column for column in needed if column not in frame]:
        raise InputError(f"{where}: the columns {', '.join(absent)} are missing; found {', '.join(frame)}")
    return frame


def spaced(total: int, count: int) -> list[int]:
    """The indices of at most `count` images, evenly spaced: neighbours in a collection are often alike."""
    count = min(count, total)
    return [index * total // count for index in range(count)]


def read_images(paths: list[Path], count: int, are_spaced: bool = False) -> list[np.ndarray]:
    """The first `count` images, or evenly spaced ones, each (R, R, C) uint8; fewer if there are fewer."""
    archive = ImageArchive(paths)
    indices = spaced(len(archive), count) if are_spaced else range(min(count, len(archive)))
    return [archive.read(index) for index in indices]


def panels(count: int, columns: int, width: float = 2.3, height: float = 1.8) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, row by row; width and height in inches per panel."""
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(width * columns, height * rows + 0.35), dpi=DPI, layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns, squeeze=False)).ravel()
    for spare in grid[count:]:
        spare.set_visible(False)
    return figure, list(grid[:count])


def logarithmic(axes: Axes, which: str, label: str, minor: Sequence[int] = (2, 3, 5, 7)) -> None:
    """A logarithmic axis, `x` or `y`, with plain numbers at powers of ten and at these multiples of them."""
    axes.set(**{f"{which}scale": "log", f"{which}label": f"{label}, logarithmic".lstrip(", ")})
    axis: Axis = getattr(axes, f"{which}axis")
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter("{x:g}")
    axis.set_minor_locator(LogLocator(subs=minor))


def save(figure: Figure, png: Path | None, pdf: Path | None, dark: Path | None = None) -> None:
    """Write the figure atomically, without dates or versions in its metadata."""
    for path, kind, omitted in ((png, "png", ("Software",)), (pdf, "pdf", ("CreationDate", "Creator", "Producer"))):
        if path is not None:
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format=kind, metadata=dict.fromkeys(omitted))
    if dark is not None:
        darken(figure)
        save(figure, dark, None)


def darken(figure: Figure) -> None:
    """Invert the lightness of everything but images; white becomes transparent, and colours stay bright enough."""
    names = ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor")
    drawn = [(artist, name) for artist in figure.findobj() for name in names if hasattr(artist, f"get_{name}")]
    before = [to_rgba_array(getattr(artist, f"get_{name}")()) for artist, name in drawn]  # of all: some follow others
    for (artist, name), colours in zip(drawn, before, strict=True):
        if len(colours):
            inverted = [_inverted(*colour) for colour in colours]
            getattr(artist, f"set_{name}")(inverted if len(inverted) > 1 else inverted[0])


def _inverted(red: float, green: float, blue: float, alpha: float) -> tuple[float, ...]:
    hue, lightness, saturation = rgb_to_hls(red, green, blue)
    least = 0.5 if saturation > 0.2 else 0
    return (*hls_to_rgb(hue, max(0.9 - 0.8 * lightness, least), saturation), 0.0 if lightness == 1 else alpha)


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    return {label: PALETTE[index % len(PALETTE)] for index, label in enumerate(labels)}
