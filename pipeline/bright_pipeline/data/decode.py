"""Decodes an image to an upright 8-bit gray or RGB picture, and crops and resizes it to a square (section 4).

- The EXIF orientation is applied.
- Transparency (RGBA, LA, palettes) is composited on white.
- 16-bit gray is divided by 257, so that 65535 becomes 255; of TIFFs in which 0 is white, the other way round. Pillow
  reads the high bytes of 16-bit RGB.
- CMYK and similar modes are converted by Pillow's formulas. Colour profiles are ignored.
- Gray is Pillow's L: 0.299 R + 0.587 G + 0.114 B.
- The first frame of an animation is used.
- HEIC is read with the package pillow-heif; its own rotation is applied, and its EXIF orientation has no effect.

Crop and filter are config keys and part of the manifest: the resize filter changes FID by a whole point.
"""

import io
import warnings
from collections import Counter
from threading import Lock
from typing import Any

import numpy as np
from PIL import Image, ImageFile, ImageOps

from bright_pipeline.base.errors import error_text
from bright_pipeline.data.archive import FORMATS
from bright_pipeline.data.listing import is_heic
from bright_pipeline.settings.dataset import Dataset

# Bytes that a part of a collection may become in memory: an encoded image, an unpacked IDX file, a group of rows, or a
# picture of three channels with 16 bits. More is treated as a decompression bomb.
LARGEST = 2**30
LARGEST_PIXELS = LARGEST // 6  # also Pillow's own bound
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
GRAY_MODES = ("1", "L", "LA", *WIDE_MODES)
PHOTOMETRIC = 262  # TIFF's tag: 0, white is zero
WARNINGS_LOCK = Lock()  # warning filters are shared by all threads


class BadImage(Exception):
    """An unusable image; the message gives the reason."""


class RawImages:
    """A raw collection, or one of its parts."""

    ignored: Counter[str] | None = None  # files that are not images by name: their number by suffix, after `names`

    def names(self) -> list[str]:
        """The sorted names of the images; splits follow this order."""
        raise NotImplementedError

    def encoded(self, name: str) -> bytes:
        """The bytes of one image file; BadImage if they are unreadable."""
        raise NotImplementedError

    def image(self, name: str, channels: int) -> Image.Image:
        """One image in mode L or RGB; BadImage if it is unusable."""
        return decode(self.encoded(name), channels, name)


def decode(encoded: bytes, channels: int, name: str = "") -> Image.Image:
    """The picture in mode L (1 channel) or RGB (3 channels); BadImage if it cannot be decoded."""
    if not encoded:
        raise BadImage("empty: it has no bytes")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # other packages set it for the whole process
    try:
        with WARNINGS_LOCK, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # errors raise exceptions
            image = _open(encoded, name)
            if image.width * image.height > LARGEST_PIXELS:
                raise BadImage(f"too large: {image.width}x{image.height}, more than {LARGEST_PIXELS} pixels")
            image.load()  # libheif checks that a HEIC image has the size of its header
            if image.format == "TIFF" and image.mode in WIDE_MODES:
                image = _wide_tiff(image)
            ImageOps.exif_transpose(image, in_place=True)  # a copy of a large picture could take a gigabyte
            return to_channels(image, channels)
    except (BadImage, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise BadImage(f"too large: {error}") from None
    except Exception as error:  # damaged bytes make decoders raise various errors
        raise BadImage(f"damaged: {error_text(error)}") from None


def _open(encoded: bytes, name: str) -> Image.Image:
    """An image whose header is read. The name decides whether it may be HEIC: fingerprints cover names."""
    formats: tuple[str, ...] = FORMATS
    if is_heic(name):
        from pillow_heif import register_heif_opener

        register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
        formats = (*FORMATS, "HEIF")
    return Image.open(io.BytesIO(encoded), formats=formats)


def _wide_tiff(image: Any) -> Image.Image:
    """16-bit gray in which 0 is black; BadImage for 32-bit gray that may be of 8 bits, or in which 0 may be white."""
    is_inverted, wide = image.tag_v2.get(PHOTOMETRIC) == 0, np.asarray(image)
    if image.mode == "I" and (is_inverted or 0 < wide.max() <= 255):
        raise BadImage(f"32-bit gray of unknown range, up to {wide.max()}; convert it to 8 or 16 bits")
    return Image.fromarray(65535 - wide) if is_inverted else image


def is_stored_gray(encoded: bytes, name: str) -> bool:
    """Whether an image is stored in gray, according to its header."""
    with _open(encoded, name) as image:
        return image.mode in GRAY_MODES


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """A picture of any mode converted to L or RGB by the rules above."""
    if image.mode in WIDE_MODES:
        wide, gray = np.asarray(image), np.empty((image.height, image.width), np.uint8)
        if wide.min() < 0 or wide.max() > 65535:
            raise BadImage(f"gray values from {wide.min()} to {wide.max()}, beyond 16 bits; convert it to 8 or 16 bits")
        for row in range(image.height):  # a whole picture of wide integers could take gigabytes
            gray[row] = (wide[row].astype(np.int64) + 128) // 257  # rounded to the nearest
        image = Image.fromarray(gray)
    elif image.mode == "F":
        raise BadImage("floating-point pixels of unknown range; convert it to 8 or 16 bits")
    elif image.has_transparency_data:
        colour = image if image.mode == "RGBA" else image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    mode = "L" if channels == 1 else "RGB"
    return image if image.mode == mode else image.convert(mode)


def square_pixels(image: Image.Image, dataset: Dataset) -> np.ndarray:
    """The pixels, uint8 (R, R, C), of a picture in mode L or RGB after crop and resize."""
    size = (dataset.resolution, dataset.resolution)
    match dataset.crop:
        case "pad":  # the unscaled picture in the middle of a black square
            if max(image.size) > dataset.resolution:
                larger = f"{image.width}x{image.height} is larger than the resolution {dataset.resolution}"
                raise BadImage(f"{larger}; crop: pad only enlarges")
            picture, image = image, Image.new(image.mode, size)
            image.paste(picture, ((size[0] - picture.width) // 2, (size[1] - picture.height) // 2))
        case "center":  # the largest square; with an odd remainder, one more pixel is cut at the right or bottom
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        case "none" if image.width != image.height:
            raise BadImage(f"{image.width}x{image.height} is not square; crop: center would crop it")
    if image.size != size:
        image = image.resize(size, Image.Resampling[dataset.filter.upper()])
    pixels = np.array(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels
