"""The images of the page: reconstructions with their originals, samples with their nearest training images, figures.

All images are data URIs within fixed budgets, so that the page without its key explorer stays below 25 MB. Base64
encodes 3 bytes as 4: the budgets below, 17 MB, take 22.7 MB of the page, and text takes the rest.
"""

import base64
import io
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.data.archive import ImageArchive, encode_png
from bright_pipeline.figures.common import spaced
from bright_pipeline.figures.images import read_neighbours
from bright_pipeline.settings.quantities import RECONSTRUCTION
from bright_pipeline.stages.page import SAMPLES

FIGURES_BYTES = 8_000_000
SAMPLES_BYTES = 6_000_000
PAIRS_BYTES = 3_000_000

LOSSLESS_SIDE = 64  # larger images are WebP: a 256 x 256 photograph takes 20 kB, as PNG 110 kB
QUALITY = 90
FIGURE_QUALITY = 85
FIGURE_SIDES = (2400, 1800, 1200, 800, 400, 200)


def data_uri(kind: str, content: bytes) -> str:
    """The `data:` URI of an image (png, webp)."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def image_uri(pixels: np.ndarray) -> str:
    """uint8 (R, R, 1 or 3): exact up to 64 pixels, WebP above."""
    if pixels.shape[0] <= LOSSLESS_SIDE:
        return data_uri("png", encode_png(pixels))
    return data_uri("webp", _webp(Image.fromarray(pixels.squeeze()), QUALITY))


def _webp(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGBA" if image.has_transparency_data else "RGB").save(buffer, "webp", quality=quality)
    return buffer.getvalue()


@dataclass(frozen=True)
class Figure:
    """A figure's picture in the page, with its size in pixels."""

    uri: str
    width: int
    height: int
    dark: str = ""  # the same for dark screens


def figure_picture(path: Path, limit: int, dark: Path | None = None) -> Figure:
    """The figure as it is, or a smaller copy if it has more than `limit` bytes; so for dark screens."""
    of_dark = "" if dark is None else figure_picture(dark, limit).uri
    with readable(f"figure {path}: not a readable picture"):
        content = path.read_bytes()
        image = Image.open(io.BytesIO(content))
        image.load()
    if len(content) <= limit:
        return Figure(data_uri("png", content), *image.size, of_dark)
    for side in FIGURE_SIDES:
        smaller = image.copy()
        smaller.thumbnail((side, side))
        content = _webp(smaller, FIGURE_QUALITY)
        if len(content) <= limit:
            break
    return Figure(data_uri("webp", content), *smaller.size, of_dark)


PAIRS = 24  # the page has at most this many pairs
UNBROKEN = "\N{NO-BREAK SPACE}"
METRICS = {quantity.compared: quantity.on_page for quantity in reversed(RECONSTRUCTION) if quantity.on_page}
"""Column of per_image.csv -> its format below an image."""


@dataclass(frozen=True)
class Pairs:
    """Validation images, and each model's reconstructions of them with their metrics as text."""

    indices: list[int]  # in the validation split, evenly spaced
    originals: list[str]
    reconstructions: dict[str, list[str]]
    words: dict[str, list[str]]
    count: int  # of the whole validation split
    resolution: int


def gather_pairs(validation: Path, reconstructions: dict[str, Path], per_image: dict[str, Path]) -> Pairs:
    """As many evenly spaced images as fit into PAIRS_BYTES, at most PAIRS."""
    originals = ImageArchive(validation)
    archives = {model: ImageArchive(path) for model, path in reconstructions.items()}
    for model, archive in archives.items():
        if len(archive) != len(originals):
            line = f"{len(archive)} images, {validation} has {len(originals)}; make them again"
            raise InputError(f"reconstructions {model}: {line}")
    shown: dict[int, list[str]] = {}  # index of an image -> its original, and its reconstruction by each model
    left = PAIRS_BYTES
    for index in spaced(len(originals), PAIRS):
        uris = [image_uri(archive.read(index)) for archive in (originals, *archives.values())]
        left -= sum(len(uri) * 3 // 4 for uri in uris)
        if left < 0:
            break
        shown[index] = uris
    columns = {name: [uris[i] for uris in shown.values()] for i, name in enumerate(("", *archives))}
    words = {model: _metric_words(per_image.get(model), list(shown)) for model in archives}
    return Pairs(list(shown), columns.pop(""), columns, words, len(originals), originals.resolution)


def _metric_words(path: Path | None, indices: list[int]) -> list[str]:
    """Such as `PSNR 24.07 dB, SSIM 0.859` for each of these images, lines break after a comma only; "" without path."""
    if path is None:
        return [""] * len(indices)
    frame = pd.read_csv(path).iloc[indices]
    formats = {column: form.replace(" ", UNBROKEN) for column, form in METRICS.items() if column in frame}
    return [", ".join(form.format(row[column]) for column, form in formats.items()) for _, row in frame.iterrows()]


@dataclass(frozen=True)
class Samples:
    """The first samples of a set, and the training images that are near them."""

    uris: list[str]
    neighbours: list[list[tuple[str, float]]]  # of each sample, the nearest first: name and LPIPS
    train: dict[str, str]  # name -> data URI


def gather_samples(shards: list[Path], neighbours: Path | None, train: Path | None) -> Samples:
    """As many of the first samples as fit into SAMPLES_BYTES with their neighbours, at most SAMPLES."""
    generated, left = ImageArchive(shards), SAMPLES_BYTES
    near, indices = dict[str, list[tuple[str, float]]](), dict[str, int]()
    if neighbours is not None and train is not None:
        training = ImageArchive(train)
        indices = {name: index for index, name in enumerate(training.names)}
        for image, rows in read_neighbours(neighbours).sort_values("rank").groupby("image"):
            near[str(image)] = list(zip(rows["train_image"], rows["lpips"], strict=True))
    samples = Samples([], [], {})
    for index in range(min(SAMPLES, len(generated))):
        nearest, uri = near.get(generated.names[index], []), image_uri(generated.read(index))
        new = [name for name, _ in nearest if name not in samples.train]  # near several samples, it counts once
        if absent := [name for name in new if name not in indices]:
            raise InputError(f"neighbours: {absent[0]} is not in the training split; make the neighbours again")
        new_uris = {name: image_uri(training.read(indices[name])) for name in new}
        left -= sum(len(added) * 3 // 4 for added in (uri, *new_uris.values()))
        if left < 0:
            break
        samples.uris.append(uri)
        samples.neighbours.append(nearest)
        samples.train.update(new_uris)
    return replace(samples, train=dict(sorted(samples.train.items())))
