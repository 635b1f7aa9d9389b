"""Images inside the page: data URIs, of a bounded size altogether.

The page has to stay below 25 MB whatever the run's size. Base64 makes 4 bytes of 3, so that the budgets
below, 17 MB, are 22.7 MB of page; text takes the rest.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.data.archive import encode_png

FIGURES_BYTES = 8_000_000
SAMPLES_BYTES = 6_000_000
PAIRS_BYTES = 3_000_000

LOSSLESS_SIDE = 64  # images above are WebP: a 256 x 256 photograph takes 110 kB as PNG, 20 kB so
QUALITY = 90
FIGURE_QUALITY = 85
FIGURE_SIDES = (2400, 1800, 1200, 800, 400, 200)


def data_uri(kind: str, content: bytes) -> str:
    """The `data:` address of an image of this kind (png, webp)."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def image_uri(pixels: np.ndarray) -> str:
    """uint8 (R, R, 1 or 3): exact up to 64 pixels, WebP above."""
    if pixels.shape[0] <= LOSSLESS_SIDE:
        return data_uri("png", encode_png(pixels))
    return data_uri("webp", _webp(Image.fromarray(pixels.squeeze()), QUALITY))


def _webp(image: Image.Image, quality: int) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "webp", quality=quality)
    return buffer.getvalue()


@dataclass(frozen=True)
class Figure:
    """A figure's picture in the page, with its size in pixels."""

    uri: str
    width: int
    height: int


def figure_picture(path: Path, limit: int) -> Figure:
    """A figure's own bytes, or a smaller copy where they are more than `limit`."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content)) as image:
            image.load()
    except OSError as error:
        raise InputError(f"figure {path}: not a readable picture ({error})") from None
    if len(content) <= limit:
        return Figure(data_uri("png", content), *image.size)
    for side in FIGURE_SIDES:
        smaller = image.copy()
        smaller.thumbnail((side, side))
        content = _webp(smaller, FIGURE_QUALITY)
        if len(content) <= limit:
            break
    return Figure(data_uri("webp", content), *smaller.size)


class Budget:
    """Bytes that images of one kind may take; an image is counted once however often it is shown."""

    def __init__(self, size: int):
        self.left = size
        self.images: dict[str, str] = {}

    def add(self, images: dict[str, str]) -> bool:
        """Take these images (name -> data URI) if all fit; whether they did."""
        new = {name: uri for name, uri in images.items() if name not in self.images}
        size = sum(len(uri) * 3 // 4 for uri in new.values())
        if size > self.left:
            return False
        self.left -= size
        self.images |= new
        return True
