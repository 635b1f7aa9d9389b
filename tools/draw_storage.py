"""Draw what the tables store, light and dark, from the tables of its page: docs/images/storage-*.svg.

    python tools/draw_storage.py

A chart for each question of docs/what-the-tables-store.md. A row is named by its collection, its method and its change.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from draw_method import IMAGES, THEMES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from page_numbers import DOCS, Table, cell, read_table

PAGE = DOCS / "what-the-tables-store.md"
COLLECTIONS = {"clothes-300": 300, "clothes-1000": 1_000, "clothes-3000": 3_000, "fashion_mnist": 9_000}
MLP = "an MLP in place of the tables"
SHADES = ("#9ecae1", "#56B4E9", "#0072B2", "#D55E00")  # from few images to many
MODELS = {
    "BRIGHT": ("BRIGHT", "(the first row)"),
    "BRIGHT, key penalty": ("BRIGHT", "key penalty 30"),
    "KL autoencoder": ("KL autoencoder",),
}
COLOURS = dict(zip(MODELS, ("#0072B2", "#56B4E9", "#D55E00"), strict=True))
OTHERS = {"clothes": "fashion_mnist", "drawings": "openclipart", "photographs": "photographs"}
CODECS = {"AVIF": "#009E73", "WebP": "#CC79A7", "JPEG XL": "#E69F00", "JPEG 2000": "#999999"}
STEPS = {
    "encoder": "encoder's\ncode",
    "tuned codes": "tuned\ncode",
    "codes tables": "code and\ntables",
    "codes weights": "code and\nweights",
}
WIDTH = 6.5

Point = tuple[float, float]  # a mean and a deviation


def point(table: Table, column: str, row: str) -> Point:
    """The mean and the deviation of a cell."""
    value = cell(table, column, row)
    return sum(value.number) / 2, sum(value.spread) / 2 if value.spread else 0.0


def rows(table: Table, *words: str) -> list[str]:
    """The labels that have all of these words."""
    return [label for label in table.labels if all(f" {word} " in f" {label} " for word in words)]


def memory(figure: Figure, ink: str) -> None:
    """Training and validation images over the numbers in all tables."""
    table = read_table("collection_sizes", PAGE)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, split in zip(panels, ("training", "validation"), strict=True):
        for shade, (name, images) in zip(SHADES, COLLECTIONS.items(), strict=True):
            with_tables = [label for label in rows(table, name) if MLP not in label]
            sizes = [1e6 * point(table, "tables tcnn", label)[0] for label in with_tables]
            order = np.argsort(sizes)
            values = [point(table, f"PSNR {split}", with_tables[index]) for index in order]
            line(axes, [sizes[index] for index in order], values, f"{images:,} images", shade)
            for label in rows(table, name, MLP):
                mean, deviation = point(table, f"PSNR {split}", label)
                axes.errorbar(5e6, mean, yerr=deviation, fmt="s", color=shade, capsize=3)
        axes.set(xscale="log", xlabel="numbers in all tables (squares: an MLP)", title=f"{split} images")
    panels[0].set_ylabel("PSNR (dB), more is better")


def rates(figure: Figure, ink: str) -> None:
    """Bits of an image over the images of a collection: codes, with and without weights, and files of equal PSNR."""
    table, images = read_table("rates", PAGE), np.geomspace(300, 1e6, 50)
    panels = figure.subplots(1, len(OTHERS), sharey=True)
    for axes, (title, name) in zip(panels, OTHERS.items(), strict=True):
        for method, colour in ((label, COLOURS[label]) for label in ("BRIGHT", "KL autoencoder")):
            row = min(rows(table, name, method), key=len)
            bits, shared = point(table, "Coded bits", row)[0], 1e6 * point(table, "Shared", row)[0]
            axes.plot(images, bits + shared / images, color=colour, label=f"{method}, with shared weights")
            axes.axhline(bits, color=colour, linestyle="--", label=f"{method}, codes alone")
        row = min(rows(table, name, "BRIGHT"), key=len)
        for codec, colour in CODECS.items():
            column = f"{codec} in one equal PSNR"
            axes.axhline(point(table, column, row)[0], color=colour, linestyle=":", label=f"{codec}, one mosaic")
        axes.set(xscale="log", yscale="log", xlabel="images", title=title)
    panels[0].set_ylabel("bits per image, fewer is better")


def new_images(figure: Figure, ink: str) -> None:
    """New images after steps on their codes and on weights, and what the earlier images lose."""
    table = read_table("new_images", PAGE)
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    for label, words in MODELS.items():
        row = model_row(table, words)
        steps = [step for step in STEPS if step != "codes tables" or "BRIGHT" in words]
        values = [point(table, f"PSNR {step}", row) for step in steps]
        line(left, [list(STEPS).index(step) for step in steps], values, label, COLOURS[label])
        falls = [fall for fall in ("tables", "weights") if fall != "tables" or "BRIGHT" in words]
        places = [("tables", "weights").index(fall) for fall in falls]
        line(right, places, [point(table, f"Fall {fall}", row) for fall in falls], label, COLOURS[label])
    left.set(
        xticks=range(len(STEPS)), xticklabels=STEPS.values(), title="New images", ylabel="PSNR (dB), more is better"
    )
    right.set(xticks=[0, 1], xticklabels=["tables", "weights"], xlim=(-0.5, 1.5), title="Earlier images")
    right.set_ylabel("loss of PSNR (dB) by tuned ...")


def parts(figure: Figure, ink: str) -> None:
    """What changes where a channel or a quadrant of the code is another image's."""
    table = read_table("new_images", PAGE)
    kinds = {
        "Share outside": "a quadrant: share of the change\noutside of it",
        "Coarse share": "a channel: share of the change\nin its coarse part",
    }
    axes = figure.subplots()
    for place, (label, words) in enumerate(MODELS.items()):
        values = [point(table, kind, model_row(table, words)) for kind in kinds]
        bars = np.arange(len(kinds)) + 0.25 * (place - 1)
        means, deviations = zip(*values, strict=True)
        axes.barh(bars, means, 0.22, xerr=deviations, color=COLOURS[label], ecolor=ink, label=label)
    axes.set(yticks=range(len(kinds)), yticklabels=kinds.values(), xlim=(0, 1), xlabel="share")
    axes.invert_yaxis()


def bits(figure: Figure, ink: str) -> None:
    """Quality over the bits of a number of a code."""
    table, axes = read_table("bits_of_numbers", PAGE), figure.subplots()
    for label, words in MODELS.items():
        row = model_row(table, words)
        line(
            axes, range(1, 9), [point(table, f"PSNR {count} bits", row) for count in range(1, 9)], label, COLOURS[label]
        )
    axes.set(xlabel="bits of a number of the code", ylabel="PSNR (dB), more is better")


CHARTS: dict[str, Callable[[Figure, str], None]] = {
    "memory": memory,
    "rates": rates,
    "new-images": new_images,
    "parts": parts,
    "bits": bits,
}


def model_row(table: Table, words: tuple[str, ...]) -> str:
    """The row of a model of the clothes."""
    return min(rows(table, OTHERS["clothes"], *words), key=len)


def line(axes: Axes, places: Iterable[float], values: list[Point], label: str, colour: str) -> None:
    """Means with bars of one deviation."""
    means, deviations = zip(*values, strict=True)
    axes.errorbar(list(places), means, yerr=deviations, marker="o", capsize=3, color=colour, label=label)


def draw(name: str, theme: str) -> Figure:
    ink, pale, _, paper = THEMES[theme]
    mpl.rc("font", family="DejaVu Sans", size=9.5)
    figure = Figure(figsize=(WIDTH, 3.6), facecolor=paper, layout="constrained")
    CHARTS[name](figure, ink)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = 4 if len(labels) <= 4 else 2
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, labelcolor=ink)
    for axes in figure.axes:
        axes.set_facecolor(paper)
        axes.title.set(color=ink, fontsize=10.5, fontweight="bold")
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
        axes.grid(color=pale, alpha=0.3)
        axes.tick_params(colors=ink, which="both", length=0)
        axes.spines[:].set_visible(False)
    return figure


def pictures() -> dict[Path, tuple[str, str]]:
    """Path -> chart and theme."""
    return {IMAGES / f"storage-{name}-{theme}.svg": (name, theme) for name in CHARTS for theme in THEMES}


def main() -> None:
    mpl.rc("svg", hashsalt="storage", fonttype="path")
    for path, (name, theme) in pictures().items():
        draw(name, theme).savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    main()
