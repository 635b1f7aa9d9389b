"""A picture becomes square pixels of the dataset's resolution: crop, then resize.

FID moves by a whole point with the resize filter alone, so that both are config keys and in the manifest.
"""

import numpy as np
from PIL import Image

from pipeline.data.decode import BadImage
from pipeline.settings.dataset import Dataset

FILTERS = {
    "box": Image.Resampling.BOX,
    "bilinear": Image.Resampling.BILINEAR,
    "hamming": Image.Resampling.HAMMING,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


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
        image = image.resize(size, FILTERS[dataset.filter])
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
