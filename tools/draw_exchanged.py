"""Draw the bottlenecks in both kinds of networks, light and dark, from their csv file: docs/images/exchanged-*.svg.

    python tools/draw_exchanged.py

The chart of docs/comparison.md, in the style of tools/draw_storage.py.
"""

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from draw_families import SPREAD
from draw_method import IMAGES, THEMES
from draw_storage import COLOURS, description, drawn, line
from matplotlib.figure import Figure
from page_numbers import DOCS

BOTTLENECKS = ("KL", "keys", "RQ-VAE", "VQGAN")
SERIES = {  # -> the row of each bottleneck
    "BRIGHT's networks": ("", "key-penalty-30", "", ""),
    "BRIGHT's networks, no tables": ("kl-in-bright", "without-tables", "rqvae-in-bright", "vqgan-in-bright"),
    "VQGAN's networks": ("kl-weight-03", "keys", "rqvae", "vqgan"),
}
PANELS = {"psnr": "PSNR (dB), more is better", "fd": "FD of samples, less is better"}
HEIGHT = 3.2  # inches


def chart(figure: Figure, ink: str) -> None:
    """A panel for each metric, with the bottlenecks from left to right."""
    numbers = pd.read_csv(DOCS / "csv" / "exchanged-networks.csv", index_col="row")
    for axes, (metric, title) in zip(figure.subplots(1, len(PANELS)), PANELS.items(), strict=True):
        for shift, (label, rows), colour in zip((-0.2, 0, 0.2), SERIES.items(), COLOURS.values(), strict=True):
            kept = [place for place, row in enumerate(rows) if row]
            values = [tuple(numbers.loc[rows[place], [metric, f"{metric}_sd"]]) for place in kept]
            line(axes, [place + shift for place in kept], values, label, colour, linestyle="none")
        axes.set(title=title, xticks=range(len(BOTTLENECKS)), xticklabels=BOTTLENECKS)


def pictures() -> dict[Path, str]:
    """Path -> theme."""
    return {IMAGES / f"exchanged-{theme}.svg": theme for theme in THEMES}


def draw(theme: str) -> Figure:
    seeds = pd.read_csv(DOCS / "csv" / "exchanged-networks-seeds.csv")["seed"].nunique()
    return drawn(chart, theme, SPREAD.format(seeds), HEIGHT)


def main() -> None:
    mpl.rc("svg", hashsalt="exchanged", fonttype="path")
    for path, theme in pictures().items():
        figure = draw(theme)
        figure.savefig(path, metadata={"Date": None, "Description": description(figure)})


if __name__ == "__main__":
    main()
