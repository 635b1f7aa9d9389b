"""Bits of an image in WebP, AVIF, JPEG XL and JPEG 2000 at a given quality: images one by one, and all in one mosaic.

Pillow, and pillow-jxl-plugin for JPEG XL, write the files with the settings below and read them again.
"""

import io
import math
from collections import defaultdict
from contextlib import suppress
from itertools import product
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bright_pipeline.base.progress import Progress
from bright_pipeline.evaluation.stored import Quality

QUALITIES = [{"quality": quality} for quality in (0, 1, 5, 10, 20, 30, 45, 60, 75, 90)]
RATIOS = [{"quality_layers": [ratio]} for ratio in (60, 40, 25, 16, 11, 8, 6, 4, 3, 2)]  # of raw to compressed bytes
# Pillow's name, settings of all files, and settings that make them larger step by step.
CODECS: dict[str, tuple[str, dict[str, Any], list[dict[str, Any]]]] = {
    "webp": ("WEBP", {"method": 6}, QUALITIES),
    "avif": ("AVIF", {"speed": 4, "max_threads": 1}, QUALITIES),
    "jxl": ("JXL", {"effort": 7}, QUALITIES),
    "jpeg2000": ("JPEG2000", {"quality_mode": "rates", "irreversible": True, "num_resolutions": 3}, RATIOS),
}


def compressed(pictures: np.ndarray, codec: str, options: dict[str, Any]) -> tuple[float, np.ndarray]:
    """The bits of the files of these pictures (N, H, W, C), in all, and the pixels that are read from them."""
    bits, read, gray = 0, [], pictures.shape[3] == 1
    for pixels in pictures:
        file = io.BytesIO()
        Image.fromarray(pixels[:, :, 0] if gray else pixels).save(file, codec, **options)
        bits += 8 * len(file.getvalue())
        with Image.open(file) as image:
            read.append(np.asarray(image.convert("L" if gray else "RGB")))
    return bits, np.stack(read).reshape(pictures.shape)


def codec_bits(images: Tensor, quality: Quality, wanted: dict[str, float]) -> dict[str, float]:
    """The fewest bits of an image of each wanted quality, `CODEC_single_psnr` and so on; images: uint8 (n^2, C, R, R).

    Between settings the logarithm of the bits is interpolated. Where no setting is as good, there is no number, and
    neither is there where a codec is not installed.
    """
    with suppress(ImportError):
        import pillow_jxl  # noqa: F401 - adds JPEG XL to Pillow
    Image.init()
    codecs = {name: codec for name, codec in CODECS.items() if codec[0] in Image.SAVE}
    count, channels, side, _ = images.shape
    across, single = math.isqrt(count), images.permute(0, 2, 3, 1).numpy()
    whole = single.reshape(across, across, side, side, channels).swapaxes(1, 2)
    pictures = {"single": single, "mosaic": whole.reshape(1, across * side, across * side, channels)}
    curves: dict[str, list[dict[str, float]]] = defaultdict(list)
    with Progress("compress images", len(codecs) * len(QUALITIES), "settings") as progress:
        for name, (codec, common, steps) in codecs.items():
            for step in steps:
                for kind, these in pictures.items():
                    bits, read = compressed(these, codec, common | step)
                    if kind == "mosaic":
                        read = read.reshape(across, side, across, side, channels).swapaxes(1, 2)
                    decoded = torch.tensor(read.reshape(single.shape)).permute(0, 3, 1, 2)
                    curves[f"{name}_{kind}"].append(quality(images, decoded) | {"bits": bits / count})
                progress.advance()
    numbers = {}
    for (name, curve), (metric, number) in product(curves.items(), wanted.items()):
        sign = -1 if metric == "lpips" else 1  # more is better
        values, sizes = zip(*sorted((sign * point[metric], point["bits"]) for point in curve), strict=True)
        if sign * number <= values[-1]:
            numbers[f"{name}_{metric}"] = 2 ** float(np.interp(sign * number, values, np.log2(sizes)))
    return numbers
