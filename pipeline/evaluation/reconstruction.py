"""Metrics of reconstruction (appendix B, Tables 2, 4, 7, 8): LPIPS, SSIM and PSNR of each image.

The paper's numbers are means over images, of PSNR too; images are compared after rounding to 8 bits,
on their own channels (LPIPS: gray ones repeated to three), at their own resolution.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.data.archive import ImageArchive, to_unit
from pipeline.evaluation.similarity import psnr, ssim
from pipeline.models.perceptual import LpipsDistance

MICRO_BATCH = 32


# Of each image, besides LPIPS: functions of originals and reconstructions (N, C, R, R) in [0, 1] to (N,).
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssim": ssim,
    "psnr": psnr,
}


@torch.no_grad()
def reconstruction_metrics(
    originals: ImageArchive, reconstructions: ImageArchive, networks: dict[str, Path]
) -> pd.DataFrame:
    """One row per image: image, its LPIPS with each network (`lpips_alex`, `lpips_vgg`), each of METRICS."""
    if len(originals) != len(reconstructions):
        raise InputError(f"reconstructions: {len(reconstructions)} images, should be {len(originals)}, one an original")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    distances = {name: LpipsDistance(name, path).to(device) for name, path in networks.items()}
    columns: dict[str, list[Tensor]] = {name: [] for name in (*distances, *METRICS)}
    with Progress("measure reconstructions", len(originals), "images") as progress:
        for first in range(0, len(originals), MICRO_BATCH):
            indices = range(first, min(first + MICRO_BATCH, len(originals)))
            real, made = (to_unit(archive.tensor(indices).to(device)) for archive in (originals, reconstructions))
            for name, distance in distances.items():
                columns[name].append(distance(2 * made - 1, 2 * real - 1).cpu())
            for name, metric in METRICS.items():
                columns[name].append(metric(real, made).cpu())
            progress.advance(len(indices))
    values = {name: torch.cat(parts).double().numpy() for name, parts in columns.items()}
    return pd.DataFrame({"image": originals.names, **values})


def reconstruction_summary(frame: pd.DataFrame) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over images (N - 1 in the denominator) of each metric.

    An exact copy's PSNR is infinite; such images are left out of that mean, and counted as `exact_images`.
    """
    summary = {}
    for name in frame.columns.drop("image"):
        finite = frame[name][np.isfinite(frame[name])]
        if finite.empty:
            raise InputError(f"{name}: infinite for every image; the reconstructions are the originals")
        entry = {"mean": float(finite.mean()), "std": float(finite.std(ddof=1)) if len(finite) > 1 else 0.0}
        if len(finite) < len(frame):
            entry["exact_images"] = len(frame) - len(finite)
        summary[name] = entry
    return summary
