"""Reconstruction from perturbed codes (section 3.4, relaxed data precision; figure 5c).

Each number of a code is moved by a uniform random amount within ± size, like the paper's interval ẑ ± 1/(2 r_max). The
codes are those that a diffusion model would make, before tiling; bounded codes stay within their bounds. Sizes are
measured in two units: the standard deviation of the collection's codes (any family), and half a cell of the finest
hash table, 1/(2 r_max) (BRIGHT).
"""

from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bright_pipeline.base.progress import Progress
from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8, to_unit
from bright_pipeline.evaluation.reconstruction import psnr
from bright_pipeline.models.autoencoder import ImageAutoencoder, pad
from bright_pipeline.models.generator import noise_generators
from bright_pipeline.models.perceptual import LpipsDistance
from bright_pipeline.settings.autoencoder import Autoencoder, AutoencoderSettings

DEVIATIONS = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
HALF_CELLS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
TOLERATED_DB = 1.0  # the loss of PSNR at which noise stops being tolerated


def half_cell(settings: AutoencoderSettings) -> float | None:
    """1/(2 r_max), the interval around a key that BRIGHT is trained to tolerate; None for other families."""
    return 1 / (2 * settings.tables.finest_resolution) if isinstance(settings, Autoencoder) else None


class NoiseSize(NamedTuple):
    """The largest distance that a number is moved: absolute, in deviations of the codes, in half cells (BRIGHT)."""

    amplitude: float
    deviations: float
    half_cells: float | None


def noise_sizes(deviation: float, half_cell: float | None) -> list[NoiseSize]:
    """Zero and growing sizes, for codes with this standard deviation and 1/(2 r_max), or None, as their half cell."""
    deviation = max(deviation, torch.finfo(torch.float32).tiny)  # of constant codes it is zero
    amplitudes = {0.0, *(size * deviation for size in DEVIATIONS)}
    if half_cell is not None:
        amplitudes |= {size * half_cell for size in HALF_CELLS}
    return [
        NoiseSize(amplitude, amplitude / deviation, None if half_cell is None else amplitude / half_cell)
        for amplitude in sorted(amplitudes)
    ]


@torch.no_grad()
def noise_curve(
    model: ImageAutoencoder,
    images: ImageArchive,
    count: int,
    sizes: list[NoiseSize],
    seed: int,
    micro_batch: int,
    lpips_alex: Path | None,
) -> list[dict[str, Any]]:
    """Mean PSNR (dB) and, with its network, LPIPS of the first `count` images at each size.

    Image i's noise depends on (seed, i) alone.
    """
    device = next(model.parameters()).device
    distance = None if lpips_alex is None else LpipsDistance("lpips_alex", lpips_alex).to(device)
    count = min(count, len(images))
    names = ("psnr",) if distance is None else ("psnr", "lpips_alex")
    metrics = {name: torch.zeros(len(sizes), count, dtype=torch.float64) for name in names}
    with model.frozen(), Progress("perturb codes", count, "images") as progress:
        for first in range(0, count, micro_batch):
            indices = list(range(first, min(first + micro_batch, count)))
            pixels = images.tensor(indices).to(device)
            real = to_unit(pixels)
            codes = model.encode(pad(to_model(pixels), micro_batch))
            noise = pad(uniform(seed, indices, codes.shape[1:]), micro_batch).to(device)
            for number, size in enumerate(sizes):
                perturbed = perturb(codes, noise, size.amplitude, model.code_range)
                decoded = to_unit(to_uint8(model.decode(perturbed))[: len(indices)])
                metrics["psnr"][number, indices] = psnr(real, decoded).double().cpu()
                if distance is not None:
                    metrics["lpips_alex"][number, indices] = distance(2 * decoded - 1, 2 * real - 1).double().cpu()
            progress.advance(len(indices))
    return [
        size._asdict() | {name: float(values[number].mean()) for name, values in metrics.items()}
        for number, size in enumerate(sizes)
    ]


def uniform(seed: int, indices: list[int], shape: tuple[int, ...] | torch.Size) -> Tensor:
    """Uniform numbers in [-1, 1] for each image, (len(indices), *shape)."""
    return torch.stack([2 * torch.rand(tuple(shape), generator=image) - 1 for image in noise_generators(seed, indices)])


def perturb(codes: Tensor, noise: Tensor, amplitude: float, bounds: tuple[float, float] | None) -> Tensor:
    """Codes plus noise in [-1, 1] times the amplitude, clamped to the codes' bounds."""
    moved = codes + amplitude * noise
    return moved if bounds is None else moved.clamp(*bounds)


def noise_numbers(curve: list[dict[str, Any]]) -> dict[str, float]:
    """A noise curve's numbers: without noise, at ± 1/(2 r_max) (BRIGHT alone), and the size that costs 1 dB."""
    quiet = curve[0]
    numbers = {"psnr_quiet": quiet["psnr"], "tolerated_deviations": tolerated(curve, "deviations")}
    if quiet["half_cells"] is None:
        return numbers
    at = min(curve, key=lambda point: abs(point["half_cells"] - 1))
    if "lpips_alex" in quiet:
        numbers["lpips_rise"] = at["lpips_alex"] - quiet["lpips_alex"]
    return numbers | {"psnr_fall": quiet["psnr"] - at["psnr"], "tolerated_half_cells": tolerated(curve, "half_cells")}


def tolerated(curve: list[dict[str, Any]], unit: str, decibels: float = TOLERATED_DB) -> float:
    """The first size with such a loss of PSNR, interpolated linearly; the largest size if there is none."""
    limit = curve[0]["psnr"] - decibels
    for before, after in pairwise(curve):
        if after["psnr"] <= limit:
            step = (before["psnr"] - limit) / (before["psnr"] - after["psnr"])
            return float(before[unit] + step * (after[unit] - before[unit]))
    return float(curve[-1][unit])
