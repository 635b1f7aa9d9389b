"""Draw the four families of each collection, light and dark, from the tables of the pages: docs/images/families-*.svg.

    python tools/draw_families.py

A picture's description has its numbers, so that a test can compare them with the table.
"""

from pathlib import Path

import matplotlib as mpl
from draw_method import IMAGES, THEMES
from matplotlib.figure import Figure
from page_numbers import Table, read_table
from scoreboard import COLLECTIONS, METRICS, PAGE, numbers

PANELS = {  # metric -> title
    "PSNR": "Reconstructions: PSNR (dB), more is better",
    "FD of samples": "Samples: Fréchet distance to real images, less is better",
}
WIDTH, HEIGHT = 6.5, 3.5  # inches
SPREAD = "Bars: one standard deviation over {} training seeds"
NO_SPREAD = "One training seed: the order may be chance"


def draw(table: Table, theme: str) -> Figure:
    """A panel for each metric, with a line for each family."""
    ink, pale, accent, paper = THEMES[theme]
    mpl.rc("font", family="DejaVu Sans", size=9.5)
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor=paper, layout="constrained")
    for axes, (metric, title) in zip(figure.subplots(len(PANELS), 1), PANELS.items(), strict=True):
        values = numbers(table, METRICS[metric][0])
        for row, (mean, deviation) in enumerate(values.values()):
            bar = deviation if table.seeds > 1 else None
            axes.errorbar(mean, row, xerr=bar, fmt="o", color=accent, capsize=3, markersize=6)
            decimals = 0 if mean >= 100 else 1
            axes.annotate(
                f"{mean:.{decimals}f}", (mean, row), (0, 6), textcoords="offset points", ha="center", color=ink
            )
        axes.set(yticks=range(len(values)), yticklabels=values, ylim=(len(values) - 0.6, -0.9), facecolor=paper)
        axes.set_title(title, color=ink, fontsize=10.5, loc="left", fontweight="bold")
        axes.margins(x=0.12)
        axes.grid(axis="x", color=pale, alpha=0.3)
        axes.tick_params(colors=ink, length=0)
        axes.spines[:].set_visible(False)
    axes.set_xlabel(SPREAD.format(table.seeds) if table.seeds > 1 else NO_SPREAD, color=pale, fontsize=9)
    return figure


def description(table: Table) -> str:
    """The numbers of the picture."""
    return "; ".join(f"{metric}: {numbers(table, METRICS[metric][0])}" for metric in PANELS)


def pictures() -> dict[Path, tuple[str, Table]]:
    """Path -> theme and table."""
    return {
        IMAGES / f"families-{collection.replace(', ', '-')}-{theme}.svg": (theme, read_table(source, PAGE))
        for collection, source in COLLECTIONS.items()
        for theme in THEMES
    }


def main() -> None:
    mpl.rc("svg", hashsalt="families", fonttype="path")
    for path, (theme, table) in pictures().items():
        draw(table, theme).savefig(path, metadata={"Date": None, "Description": description(table)})


if __name__ == "__main__":
    main()
