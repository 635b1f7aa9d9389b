"""Draw what the tables store, light and dark, from the tables of its page: docs/images/storage-*.svg.

    python tools/draw_storage.py

Charts of questions of docs/what-the-tables-store.md. A row is named by its collection, its method and its change.
"""

from collections.abc import Callable, Iterable
from pathlib import Path

import matplotlib as mpl
import numpy as np
from draw_families import SPREAD
from draw_method import IMAGES, THEMES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from page_numbers import DOCS, Table, cell, read_table

PAGE = DOCS / "what-the-tables-store.md"
MODELS = {
    "BRIGHT": ("BRIGHT",),
    "BRIGHT, key penalty": ("BRIGHT", "(key penalty 30)"),
    "KL autoencoder": ("KL autoencoder",),
}
COLOURS = dict(zip(MODELS, ("#0072B2", "#56B4E9", "#D55E00"), strict=True))
COLLECTIONS = {"clothes": "fashion_mnist", "drawings": "drawings", "photographs": "photographs"}
CODECS = {"AVIF": "#009E73", "WebP": "#CC79A7", "JPEG XL": "#E69F00", "JPEG 2000": "#999999"}
STEPS = {
    "PSNR encoder": "encoder's\ncode",
    "PSNR tuned codes": "tuned\ncode",
    "PSNR codes tables": "code and\ntables",
    "PSNR codes weights": "code and\nweights",
}
FALLS = {"Fall tables": "tables\ntuned", "Fall weights": "weights\ntuned"}
PARTS = {  # title -> factor, unit, columns
    "Change of the image": (
        1,
        "levels of 256",
        {"Change weakest": "by the\nweakest\nchannel", "Change strongest": "by the\nstrongest\nchannel"},
    ),
    "Share of the change": (
        100,
        "%",
        {"Share outside": "outside of\na quadrant", "Coarse share": "coarse,\nby a channel"},
    ),
}
SIZES = {"clothes-300": 300, "clothes-1000": 1000, "clothes-3000": 3000, "fashion_mnist": 9000}  # training images
TABLE_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00")  # from the largest tables to none
AT_EQUAL_PSNR = "Image files: all images in one file of BRIGHT's PSNR"
WIDTH, HEIGHT = 6.5, 3.8  # inches

Point = tuple[float, float]  # a mean and a deviation


def point(table: Table, column: str, row: str) -> Point:
    """The mean and the deviation of a cell."""
    value = cell(table, column, row)
    return sum(value.number) / 2, sum(value.spread) / 2 if value.spread else 0.0


def rows(table: Table, *words: str) -> list[str]:
    """The labels that have all of these words."""
    return [label for label in table.labels if all(f" {word} " in f" {label} " for word in words)]


def memory(figure: Figure, ink: str) -> None:
    """PSNR of training and of validation images over the size of the collection, for tables of each size."""
    table = read_table("collection_sizes", PAGE)
    sizes = {dataset: size for dataset, size in SIZES.items() if rows(table, dataset)}
    models = zip(*(rows(table, dataset) for dataset in sizes), strict=True)  # of all collections, in one order
    panels = dict(zip(("training images", "validation images"), figure.subplots(1, 2, sharey=True), strict=True))
    for model, colour in zip(models, TABLE_COLOURS, strict=True):
        count = 1e6 * point(table, "Hash tables ngp", model[0])[0]
        label = f"{count:,.0f} numbers in tables" if count else "no tables: an MLP"
        for title, axes in panels.items():
            line(axes, sizes.values(), [point(table, f"PSNR {title}", row) for row in model], label, colour)
    for title, axes in panels.items():
        axes.set(xscale="log", xlabel="images in the collection", title=title.capitalize())
        axes.set_xticks(list(sizes.values()), [f"{size:,}" for size in sizes.values()])
        axes.minorticks_off()
    panels["training images"].set_ylabel("PSNR (dB), more is better")


def rates(figure: Figure, ink: str) -> None:
    """Bits of an image over the images of a collection: codes, with and without weights, and files of equal PSNR."""
    table, images = read_table("rates", PAGE), np.geomspace(300, 1e6, 50)
    panels = figure.subplots(1, len(COLLECTIONS), sharey=True)
    for axes, (title, name) in zip(panels, COLLECTIONS.items(), strict=True):
        qualities = []
        for method in ("BRIGHT", "KL autoencoder"):
            row = min(rows(table, name, method), key=len)
            bits, shared = point(table, "Coded bits", row)[0], 1e6 * point(table, "Shared", row)[0]
            axes.plot(images, bits + shared / images, color=COLOURS[method], label=f"{method}, with shared weights")
            axes.axhline(bits, color=COLOURS[method], linestyle="--", label=f"{method}, codes alone")
            qualities.append(f"{method.partition(' ')[0]} {point(table, 'PSNR coded', row)[0]:.1f} dB")
        row = min(rows(table, name, "BRIGHT"), key=len)
        for codec, colour in CODECS.items():
            bits = point(table, f"{codec} in one equal PSNR", row)[0]
            axes.axhline(bits, color=colour, linestyle=":", label=f"{codec}, one file")
        axes.set(xscale="log", yscale="log", xlabel="images in the collection", title="\n".join([title, *qualities]))
        axes.set_yticks([100, 300, 1000, 3000, 10_000, 30_000], ["100", "300", "1,000", "3,000", "10,000", "30,000"])
        axes.minorticks_off()
    panels[0].set_ylabel("bits per image, fewer is better")


def new_images(figure: Figure, ink: str) -> None:
    """New images after steps on their codes and on weights, and what the earlier images lose."""
    table = read_table("new_images", PAGE)
    left, right = figure.subplots(1, 2, width_ratios=[2, 1])
    for shift, (label, words) in zip((-0.1, 0, 0.1), MODELS.items(), strict=True):
        row, has_tables = model_row(table, words), "BRIGHT" in words
        for axes, columns in ((left, STEPS), (right, FALLS)):
            kept = [place for place, column in enumerate(columns) if has_tables or "tables" not in column]
            values = [point(table, list(columns)[place], row) for place in kept]
            line(axes, [place + shift for place in kept], values, label, COLOURS[label], linestyle="none")
    for axes, columns, title in ((left, STEPS, "32 new images"), (right, FALLS, "32 earlier images")):
        axes.set(xticks=range(len(columns)), xticklabels=columns.values(), xlim=(-0.5, len(columns) - 0.5), title=title)
    left.set_ylabel("PSNR (dB), more is better")
    right.set_ylabel("loss of PSNR (dB), less is better")


def parts(figure: Figure, ink: str) -> None:
    """What changes where a channel or a quadrant of the code is another image's."""
    table = read_table("new_images", PAGE)
    for axes, (title, (scale, unit, kinds)) in zip(figure.subplots(1, 2), PARTS.items(), strict=True):
        for shift, (label, words) in zip((-0.25, 0, 0.25), MODELS.items(), strict=True):
            values = [point(table, kind, model_row(table, words)) for kind in kinds]
            means, deviations = (scale * np.array(numbers) for numbers in zip(*values, strict=True))
            bars = np.arange(len(kinds)) + shift
            axes.barh(bars, means, 0.22, xerr=deviations, color=COLOURS[label], ecolor=ink, label=label)
            for bar, mean, deviation in zip(bars, means, deviations, strict=True):
                axes.annotate(
                    f"{mean:.1f}", (mean + deviation, bar), (4, 0), textcoords="offset points", va="center", color=ink
                )
        axes.set(yticks=range(len(kinds)), yticklabels=kinds.values(), xlabel=unit, title=title, xlim=(0, 100))
        axes.invert_yaxis()


def bits(figure: Figure, ink: str) -> None:
    """Quality over the bits of a number of a code, and over the bits of an image."""
    table, counts = read_table("bits_of_numbers", PAGE), range(1, 9)
    left, right = figure.subplots(1, 2, sharey=True)
    for label, words in MODELS.items():
        row = model_row(table, words)
        values = [point(table, f"PSNR {count} bits", row) for count in counts]
        coded = [point(table, f"Coded {count} bits", row)[0] for count in counts]
        line(left, counts, values, label, COLOURS[label])
        line(right, coded, values, label, COLOURS[label])
    left.set(xlabel="bits of a number of the code", ylabel="PSNR (dB), more is better", xticks=counts)
    right.set(xlabel="bits of an image, in an arithmetic code")


CHARTS: dict[str, tuple[Callable[[Figure, str], None], str]] = {  # with the title of the legend
    "memory": (memory, SPREAD),
    "rates": (rates, AT_EQUAL_PSNR),
    "new-images": (new_images, SPREAD),
    "parts": (parts, SPREAD),
    "bits": (bits, SPREAD),
}


def model_row(table: Table, words: tuple[str, ...]) -> str:
    """The row of a model of the clothes."""
    return min(rows(table, COLLECTIONS["clothes"], *words), key=len)


def line(axes: Axes, places: Iterable[float], values: list[Point], label: str, colour: str, **style: str) -> None:
    """Means with bars of one deviation."""
    means, deviations = zip(*values, strict=True)
    axes.errorbar(list(places), means, yerr=deviations, marker="o", capsize=3, color=colour, label=label, **style)


def draw(name: str, theme: str) -> Figure:
    chart, legend_title = CHARTS[name]
    return drawn(chart, theme, legend_title.format(read_table("rates", PAGE).seeds))


def drawn(chart: Callable[[Figure, str], None], theme: str, legend_title: str, height: float = HEIGHT) -> Figure:
    """A chart with its legend, in the style of the pages."""
    ink, pale, _, paper = THEMES[theme]
    mpl.rc("font", family="DejaVu Sans", size=9.5)
    figure = Figure(figsize=(WIDTH, height), facecolor=paper, layout="constrained")
    chart(figure, ink)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    columns = 4 if len(labels) <= 4 else 2
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False, labelcolor=ink)
    legend.set_title(legend_title, {"size": 9})
    legend.get_title().set_color(pale)
    for axes in figure.axes:
        axes.set_facecolor(paper)
        axes.title.set(color=ink, fontsize=10.5, fontweight="bold")
        axes.xaxis.label.set_color(ink)
        axes.yaxis.label.set_color(ink)
        axes.grid(color=pale, alpha=0.3)
        axes.tick_params(colors=ink, which="both", length=0)
        axes.spines[:].set_visible(False)
    return figure


def description(figure: Figure) -> str:
    """The numbers of a chart: of each line and bar, its ends and their deviations."""
    shown = [line.get_ydata() for axes in figure.axes for line in axes.lines]
    shown += [[bar.get_width() for axes in figure.axes for bar in axes.patches]]
    return str([[round(float(number), 3) for number in numbers] for numbers in shown])


def pictures() -> dict[Path, tuple[str, str]]:
    """Path -> chart and theme."""
    return {IMAGES / f"storage-{name}-{theme}.svg": (name, theme) for name in CHARTS for theme in THEMES}


def main() -> None:
    mpl.rc("svg", hashsalt="storage", fonttype="path")
    for path, (name, theme) in pictures().items():
        figure = draw(name, theme)
        figure.savefig(path, metadata={"Date": None, "Description": description(figure)})


if __name__ == "__main__":
    main()
