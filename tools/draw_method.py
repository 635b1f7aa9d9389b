"""Draw the method as one picture, light and dark, from a trained model of the demo: docs/images/method-*.svg.

    python tools/draw_method.py AUTOENCODER.safetensors VALIDATION.zip [INDEX]

Every picture in it is the model's own: an image, its key code, its feature block, and the image that is decoded.
"""

import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8
from bright_pipeline.models.checkpoints import load_autoencoder
from bright_pipeline.models.key_noise import tile
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

IMAGES = Path(__file__).parents[1] / "docs" / "images"
THEMES = {"light": ("#1f2328", "#59636e", "#0072B2", "white"), "dark": ("#e6edf3", "#9198a1", "#56B4E9", "#0d1117")}
WIDTH, HEIGHT = 11.0, 2.75  # inches
SIDE = 1.15  # of a picture
CENTRES = (0.75, 2.6, 4.5, 6.4, 8.35, 10.25)  # of the stations
TOP = 1.12  # lower edge of the pictures


def picture(figure: Figure, x: float, y: float, side: float, values: np.ndarray, **how: Any) -> Axes:
    """Values as a square picture, in inches from the lower left corner."""
    axes = figure.add_axes((x / WIDTH, y / HEIGHT, side / WIDTH, side / HEIGHT))
    axes.imshow(values, interpolation="nearest", **how)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(linewidth=0.5)
    return axes


def grid(figure: Figure, x: float, y: float, side: float, nodes: int, colour: str, paper: str) -> None:
    """A table of one resolution."""
    axes = figure.add_axes((x / WIDTH, y / HEIGHT, side / WIDTH, side / HEIGHT))
    axes.set(xticks=[], yticks=[], xlim=(0, nodes), ylim=(0, nodes), facecolor=paper)
    for line in range(1, nodes):
        axes.axhline(line, color=colour, linewidth=0.4)
        axes.axvline(line, color=colour, linewidth=0.4)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=0.8)


def draw(theme: str, facts: dict[str, Any]) -> Figure:
    ink, pale, accent, paper = THEMES[theme]
    mpl.rc("font", family="DejaVu Sans", size=8)
    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor=paper)

    def text(x: float, y: float, words: str, **how: Any) -> None:
        figure.text(x / WIDTH, y / HEIGHT, words, ha="center", va="top", **{"color": ink, **how})

    def arrow(index: int, words: str) -> None:
        start, end = CENTRES[index] + SIDE / 2 + 0.06, CENTRES[index + 1] - SIDE / 2 - 0.06
        points = [(x / WIDTH, (TOP + SIDE / 2) / HEIGHT) for x in (start, end)]
        figure.add_artist(FancyArrowPatch(*points, arrowstyle="-|>", mutation_scale=9, color=accent, lw=1.2))
        text((start + end) / 2, TOP + SIDE / 2 + 0.34, words, color=accent, fontsize=7.5)

    gray = {"cmap": "gray", "vmin": 0, "vmax": 255}
    lefts = [centre - SIDE / 2 for centre in CENTRES]
    picture(figure, lefts[0], TOP, SIDE, facts["image"], **gray)
    small = SIDE / 2 - 0.03
    for number, channel in enumerate(facts["code"]):
        row, column = divmod(number, 2)
        y = TOP + (1 - row) * (small + 0.06)
        picture(figure, lefts[1] + column * (small + 0.06), y, small, channel, cmap="viridis")
    tiled = picture(figure, lefts[2], TOP, SIDE, facts["tiled"], cmap="viridis")
    tiled.add_patch(Rectangle((8.5, 4.5), 1, 1, fill=False, edgecolor="#D55E00", linewidth=1.4))
    for number, nodes in enumerate((12, 8, 5, 3)):
        offset = 0.13 * number
        grid(figure, lefts[3] + offset, TOP + 0.39 - offset, SIDE - 0.39, nodes, accent, paper)
    for number, channel in enumerate(facts["block"]):
        row, column = divmod(number, 3)
        size = SIDE / 3 - 0.03
        y = TOP + (2 - row) * (size + 0.045)
        picture(figure, lefts[4] + column * (size + 0.045), y, size, channel, cmap="magma")
    picture(figure, lefts[5], TOP, SIDE, facts["decoded"], **gray)
    for index, words in enumerate(("encoder", "tiling", "look-up", "F_mlp", "decoder")):
        arrow(index, words)
    titles = ("image", "key code", "query [key, x, y]", "groups of tables", "feature block", "image again")
    for centre, title, line in zip(CENTRES, titles, facts["lines"], strict=True):
        text(centre, TOP + SIDE + 0.32, title, fontweight="bold", fontsize=9)
        text(centre, TOP - 0.12, line, color=pale, fontsize=7.5, linespacing=1.35)
    for first, last, words in ((1, 1, "stored for each image"), (2, 5, "shared by all images")):
        left, right = (CENTRES[first] - 0.75) / WIDTH, (CENTRES[last] + (0.75 if last == 1 else 0.6)) / WIDTH
        figure.add_artist(mpl.lines.Line2D([left, right], [0.36 / HEIGHT] * 2, color=accent, linewidth=2))
        text((left + right) / 2 * WIDTH, 0.28, words, color=accent, fontsize=9)
    return figure


def facts_of(weights: Path, images: Path, index: int) -> dict[str, Any]:
    """The pictures and the numbers at each station."""
    model, archive = load_autoencoder(weights, torch.device("cpu")), ImageArchive(images)
    settings = model.settings
    with torch.no_grad():
        pixels = archive.tensor([index])
        code = model.encode(to_model(pixels))
        tiled = tile(code, settings.feature_size)
        block, _ = model.features(model.tables.retrieve(tiled))
        decoded = to_uint8(model.decode(code))
    height, width, channels = settings.code_size
    side, tables = settings.feature_size, model.tables.tables.numel()
    decoder = sum(p.numel() for n, p in model.named_parameters() if n.split(".")[0] not in ("encoder", "tables"))
    resolutions, groups = settings.tables.resolutions, model.tables.groups
    lines = (
        f"{model.resolution} x {model.resolution} pixels",
        f"{height} x {width} x {channels} = {height * width * channels} numbers,\neach in [0, 1]",
        f"{side} x {side} pixels, for each\nof {groups} groups",
        f"{groups} groups of {resolutions} resolutions:\n{tables / 1e6:.2f} million numbers",
        f"{side} x {side} x {settings.feature_channels} features",
        f"decoder and F_mlp:\n{decoder / 1e6:.2f} million numbers",
    )
    order = block[0].flatten(1).std(1).argsort(descending=True)[:9]
    return {
        "image": pixels[0, 0].numpy(), "decoded": decoded[0, 0].numpy(), "code": code[0].numpy(),
        "tiled": tiled[0, 0].numpy(), "block": block[0, order].numpy(), "lines": lines,
    }  # fmt: skip


def main() -> None:
    weights, images, *index = sys.argv[1:]
    facts = facts_of(Path(weights), Path(images), int(index[0]) if index else 0)
    mpl.rc("svg", hashsalt="method", fonttype="path")
    for theme in THEMES:
        draw(theme, facts).savefig(IMAGES / f"method-{theme}.svg", metadata={"Date": None}, dpi=100)


if __name__ == "__main__":
    main()
