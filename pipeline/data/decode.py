"""One encoded image becomes an upright 8-bit picture, gray or RGB, then square pixels (section 4: the datasets).

- The EXIF orientation is applied.
- Transparency (RGBA, LA, palettes) is composited on white.
- 16-bit gray is divided by 257, so that 65535 becomes 255; Pillow reads 16-bit RGB by its high byte.
- CMYK and the like are converted by Pillow's formulas; colour profiles are ignored.
- Gray is Pillow's L: 0.299 R + 0.587 G + 0.114 B.
- Of an animation, the first frame is taken.

Crop and filter are config keys and in the manifest: FID moves by a whole point with the resize filter alone.
"""

import io
import warnings
from threading import Lock

import numpy as np
from PIL import Image, ImageFile, ImageOps

from pipeline.base.errors import error_text
from pipeline.settings.dataset import Dataset

# What may be decoded, whatever a file is called: Pillow would start Ghostscript for an EPS called .png.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
LARGEST_FILE = 512 * 2**20  # bytes of one encoded image; what declares more is a bomb
LARGEST_PIXELS = 178_956_970  # Pillow's own bound on decompression bombs, 2/3 GiB of RGB
WIDE_MODES = ("I", "I;16", "I;16B", "I;16L", "I;16N")
GRAY_MODES = ("1", "L", "LA", *WIDE_MODES)
ONE_THREAD = Lock()  # what warnings are ignored holds for all threads


class BadImage(Exception):
    """An image that can't be used, and why."""


def decode(encoded: bytes, channels: int) -> Image.Image:
    """The picture in mode L (1 channel) or RGB (3 channels); BadImage says why there is none."""
    if not encoded:
        raise BadImage("empty: it has no bytes")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # other packages turn it on for the whole process
    try:
        with ONE_THREAD, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is wrong is told by an exception, or does not matter
            return to_channels(_open(encoded), channels)
    except (BadImage, MemoryError):
        raise
    except Image.UnidentifiedImageError:
        raise BadImage(f"not an image in a known format ({', '.join(FORMATS)})") from None
    except Image.DecompressionBombError as error:
        raise BadImage(f"too large: {error}") from None
    except Exception as error:  # decoders raise whatever damaged bytes lead them to
        raise BadImage(f"damaged: {error_text(error)}") from None


def is_stored_gray(encoded: bytes) -> bool:
    """Whether a picture that `decode` reads is stored in gray, by its header."""
    with Image.open(io.BytesIO(encoded), formats=FORMATS) as image:
        return image.mode in GRAY_MODES


def _open(encoded: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(encoded), formats=FORMATS)
    if image.width * image.height > LARGEST_PIXELS:
        raise BadImage(f"too large: {image.width}x{image.height}, over {LARGEST_PIXELS} pixels")
    image.load()
    return ImageOps.exif_transpose(image)


def to_channels(image: Image.Image, channels: int) -> Image.Image:
    """A picture of any mode in L or RGB, by the rules above."""
    if image.mode in WIDE_MODES:
        image = _narrow(image)
    elif image.mode == "F":
        raise BadImage("floating-point pixels, whose range is unknown; convert it to 8 or 16 bits")
    elif image.has_transparency_data:
        colour = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", colour.size, "white"), colour).convert("RGB")
    return image.convert("L" if channels == 1 else "RGB")


def _narrow(image: Image.Image) -> Image.Image:
    """16-bit gray to 8 bits, rounded to the nearest."""
    wide = np.asarray(image).astype(np.int64)
    if wide.min() < 0 or wide.max() > 65535:
        raise BadImage(f"gray values from {wide.min()} to {wide.max()}, beyond 16 bits; convert it to 8 or 16 bits")
    return Image.fromarray(((wide + 128) // 257).astype(np.uint8))


def square_pixels(image: Image.Image, dataset: Dataset) -> np.ndarray:
    """uint8 (R, R, C) of a picture in mode L or RGB."""
    size = (dataset.resolution, dataset.resolution)
    match dataset.crop:
        case "pad":
            image = pad(image, dataset.resolution)
        case "center":
            image = center_crop(image)
        case "none" if image.width != image.height:
            raise BadImage(f"{image.width}x{image.height} is not square; crop: center would cut it")
    if image.size != size:
        image = image.resize(size, Image.Resampling[dataset.filter.upper()])
    pixels = np.array(image)
    return pixels[:, :, None] if pixels.ndim == 2 else pixels


def center_crop(image: Image.Image) -> Image.Image:
    """The largest square in the middle; an odd remainder leaves one pixel more at the right or bottom."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def pad(image: Image.Image, resolution: int) -> Image.Image:
    """The picture, unscaled, in the middle of a black square."""
    if max(image.size) > resolution:
        raise BadImage(
            f"{image.width}x{image.height} is larger than the resolution {resolution}, to which pad fills up"
        )
    square = Image.new(image.mode, (resolution, resolution))
    square.paste(image, ((resolution - image.width) // 2, (resolution - image.height) // 2))
    return square
