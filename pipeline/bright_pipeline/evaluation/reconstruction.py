"""Metrics of reconstruction (appendix B, Tables 2, 4, 7, 8): LPIPS, SSIM and PSNR of each image.

The paper's numbers are means over images, also of PSNR. Images are compared after rounding to 8 bits, on their own
channels (LPIPS repeats gray three times), at their own resolution.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive, to_unit
from bright_pipeline.evaluation.summary import Value, versions
from bright_pipeline.models.autoencoder import without_tf32
from bright_pipeline.models.metric_networks.files import read_network
from bright_pipeline.models.perceptual import FrozenModule, LpipsDistance

if TYPE_CHECKING:
    import pandas as pd

MICRO_BATCH = 32  # images that are measured at once
WINDOW, SIGMA = 11, 1.5  # of SSIM's Gaussian
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants for a range of 1


@without_tf32()
def ssim(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """SSIM of each image (Wang et al. 2004): (N, C, R, R) in [0, 1] to (N,), bit-identical to torchmetrics."""
    left, right = (F.pad(images, [WINDOW // 2] * 4, mode="reflect") for images in (reconstructions, originals))
    products = torch.cat((left, right, left * left, right * right, left * right))
    channels = originals.shape[1]
    distances = torch.arange(WINDOW, dtype=originals.dtype, device=originals.device) - WINDOW // 2
    weights = torch.exp(-((distances / SIGMA) ** 2) / 2)
    weights = weights / weights.sum()
    window = (weights[:, None] @ weights[None]).expand(channels, 1, WINDOW, WINDOW)
    mean, other_mean, square, other_square, product = F.conv2d(products, window, groups=channels).chunk(5)
    means = mean * other_mean
    squares, other_squares = mean.square(), other_mean.square()
    variances = (square - squares).clamp(min=0.0) + (other_square - other_squares).clamp(min=0.0)
    above = (2 * means + C1) * (2 * (product - means) + C2)
    below = (squares + other_squares + C1) * (variances + C2)
    return (above / below).flatten(1).mean(1)


def psnr(originals: Tensor, reconstructions: Tensor) -> Tensor:
    """PSNR of each image in dB, infinite for a copy: (N, C, R, R) in [0, 1] to (N,), bit-identical to torchmetrics."""
    errors = (reconstructions - originals).square().sum((1, 2, 3)) / originals[0].numel()
    return -errors.log() * (10 / torch.log(torch.tensor(10.0)))


# Of each image, besides LPIPS: functions of originals and reconstructions (N, C, R, R) in [0, 1] to (N,).
METRICS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "ssim": ssim,
    "psnr": psnr,
}


def authors_metrics(originals: Tensor, decoded: Tensor, lpips: FrozenModule | None) -> dict[str, Tensor]:
    """LPIPS, SSIM and PSNR as the authors' code measures them, for each image: (N, C, R, R) in [-1, 1] to (N,).

    decoded: floats, which may be outside of [-1, 1]. torchmetrics 0.11 without a `data_range` takes that of the
    original, with zero included, for PSNR, and the larger one of both images for SSIM.
    """
    (low, high), (lowest, highest) = (
        (images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)) for images in (originals, decoded)
    )
    ranges = {"psnr": high.clamp(min=0) - low.clamp(max=0), "ssim": torch.maximum(high - low, highest - lowest)}
    metrics = {name: METRICS[name](originals / scale, decoded / scale) for name, scale in ranges.items()}
    metrics |= {} if lpips is None else {"lpips_alex": lpips(decoded, originals)}
    return {f"{name}{AUTHORS}": values.cpu() for name, values in metrics.items()}


AUTHORS = "_authors"  # ends the names of metrics by the authors' protocol
# Additions to a metric's protocol.
CONSTANTS = {"ssim": "Gaussian window 11, sigma 1.5", "psnr": "mean over images, 8 bits"}


class NetworkMetric(NamedTuple):
    """A metric of each image with the weights of networks; called with their paths, it loads the module.

    module: the module's class or function, called with the path of each network. The module maps reconstructions and
    originals (N, C, R, R) in [-1, 1] to (N,).
    """

    networks: tuple[str, ...]  # in weights.yaml
    module: Callable[..., FrozenModule]
    constants: dict[str, str]  # what its protocol adds
    libraries: tuple[str, ...] = ("torch",)

    def __call__(self, paths: Mapping[str, Path]) -> FrozenModule:
        return self.module(*(paths[name] for name in self.networks))


NETWORK_METRICS = {
    name: NetworkMetric(
        (name,), partial(LpipsDistance, name), {"lpips": "0.1, at the images' own resolution"}, ("torch", "lpips")
    )
    for name in ("lpips_alex", "lpips_vgg")
}


def network_metrics(paths: Mapping[str, Path]) -> dict[str, NetworkMetric]:
    """The metrics whose networks are all given."""
    return {name: metric for name, metric in NETWORK_METRICS.items() if paths.keys() >= {*metric.networks}}


@torch.no_grad()
def image_metrics(originals: Tensor, decoded: Tensor, distances: Mapping[str, FrozenModule]) -> dict[str, Tensor]:
    """Each of `distances` and METRICS for each image, on the CPU: uint8 (N, C, R, R), on their device, to (N,)."""
    real, decoded = to_unit(originals), to_unit(decoded)
    metrics = {name: distance(2 * decoded - 1, 2 * real - 1) for name, distance in distances.items()}
    metrics |= {name: metric(real, decoded) for name, metric in METRICS.items()}
    return {name: values.cpu() for name, values in metrics.items()}


def reconstruction_protocols(
    originals: ImageArchive, images_sha256: str, networks: dict[str, Path]
) -> Mapping[str, dict[str, Any]]:
    """The protocol of each metric: the images and its own constants, if any; networks: paths of weights."""
    images = {
        "count": len(originals),
        "reference": "validation",
        "images_sha256": images_sha256,
        "resize": "none",
        "resolution": originals.resolution,
        "channels": originals.channels,
        "versions": versions("torch"),
    }
    protocols = defaultdict(lambda: images, {name: images | {name: how} for name, how in CONSTANTS.items()})
    for name, metric in network_metrics(networks).items():
        sha256 = {f"{file}_sha256": read_network(file, networks[file], "numpy")[1] for file in metric.networks}
        protocols[name] = images | sha256 | metric.constants | {"versions": versions(*metric.libraries)}
    how = {"pixels": "unclipped floats, training's noise on codes, range of each image"}
    protocols |= {f"{name}{AUTHORS}": protocols[name] | how for name in ("lpips_alex", "ssim", "psnr")}
    return protocols


def reconstruction_values(frame: "pd.DataFrame", protocols: Mapping[str, dict[str, Any]]) -> dict[str, Value]:
    """Mean and deviation (N - 1) of each metric in a per-image table, without the infinite PSNR of copies."""
    values = {}
    for name in frame.columns.drop("image"):
        finite = frame[name][np.isfinite(frame[name])]
        if finite.empty:
            raise InputError(f"{name}: infinite for every image; the reconstructions are the originals")
        std = float(finite.std(ddof=1)) if len(finite) > 1 else 0.0
        values[name] = Value(number=float(finite.mean()), std=std, protocol=protocols[name])
    return values
