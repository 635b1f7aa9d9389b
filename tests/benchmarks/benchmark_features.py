"""Features of an image set in every space, from its archive, against bare forward passes of the same networks.

    PYTHONPATH=tests python tests/benchmarks/benchmark_features.py [--count 100] [--size 256] [--threads 2]

A bare pass starts from decoded, resized and normalised batches in memory. Both take turns in one process, network by
network, on a CPU; true architectures, random weights. All other work (decoding, resizing, digests, copies) may add a
tenth of the CPU seconds. Loading a network, once per job of 10,000 images, is printed too. The bits must be equal.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
import typer
from cleanfid.resize import build_resizer, make_resizer
from PIL import Image
from reference_metrics import BATCH, CPU, save_networks
from timing import Took, timed
from torch import Tensor, nn
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchvision.transforms.functional import normalize

from pipeline.data.archive import ArchiveWriter, ImageArchive
from pipeline.evaluation.features import extract
from pipeline.models.metric_networks.manifest import network_path
from pipeline.models.metric_networks.networks import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    FeatureNetwork,
    load_feature_network,
)
from pipeline.models.metric_networks.spaces import network_of

BAR = 1.1


def images(path: Path, count: int, size: int) -> ImageArchive:
    """Smooth pictures with some noise, RGB."""
    rng = np.random.default_rng(0)
    with ArchiveWriter(path, 3) as writer:
        for index in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8))
            smooth = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)).astype(int)
            pixels = (smooth + rng.integers(-6, 7, smooth.shape)).clip(0, 255)
            writer.add(f"{index:05d}.png", pixels.astype(np.uint8))
    return ImageArchive(path)


SPACES = ("inception", "inception_clean", "clip", "vgg16")


def prepared(space: str, batch: Tensor) -> Tensor:
    """A batch, resized and normalised for a network."""
    if space in ("inception", "vgg16"):
        side = 299 if space == "inception" else 224
        batch = interpolate_bilinear_2d_like_tensorflow1x(batch.float(), size=(side, side), align_corners=False)
        if space == "inception":
            return (batch - 128) / 128
        return normalize(batch, [255 * value for value in IMAGENET_MEAN], [255 * value for value in IMAGENET_STD])
    resizer = build_resizer("clean") if space == "inception_clean" else make_resizer("PIL", True, "bicubic", (224, 224))
    pictures = [resizer(picture) for picture in batch.permute(0, 2, 3, 1).numpy()]
    batch = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float()
    return (batch - 128) / 128 if space == "inception_clean" else normalize(batch / 255, [*CLIP_MEAN], [*CLIP_STD])


def bare(space: str, network: FeatureNetwork) -> Callable[[Tensor], Tensor]:
    """The layers behind resize and normalisation."""
    inside = network.network
    if space == "inception":
        *layers, classifier = inside.children()
        pooled = nn.Sequential(*layers, nn.Flatten())

        def features_and_logits(batch: Tensor) -> Tensor:
            found = pooled(batch)
            found.mm(classifier.weight.T)
            return found

        return features_and_logits
    if space == "vgg16":
        return lambda batch: F.relu(inside.model(batch))
    return inside


@torch.no_grad()
def measure(space: str, weights: Path, archive: ImageArchive, rounds: int) -> tuple[Took, Took]:
    """Features from the archive and bare passes, the sums of the rounds, which take turns."""
    (network, digest), loading = timed(lambda: load_feature_network(space, weights))
    indices = np.arange(-(-len(archive) // BATCH) * BATCH).clip(max=len(archive) - 1)
    batches = [prepared(space, archive.tensor(some.tolist())) for some in np.split(indices, len(indices) // BATCH)]
    passes = bare(space, network)
    whole, alone = [], []
    for _ in range(rounds):
        with patch("pipeline.evaluation.features.load_feature_network", lambda *_: (network, digest)):
            found, took = timed(lambda: extract(archive, space, weights, 0, None, BATCH, CPU).features)
        whole.append(took)
        expected, took = timed(lambda: torch.cat([passes(batch) for batch in batches])[: len(archive)].numpy())
        alone.append(took)
        if found.tobytes() != expected.tobytes():
            raise SystemExit(f"{space}: features are not those of the bare passes")
    sums = [Took(*map(sum, zip(*some, strict=True))) for some in (whole, alone)]
    print(told(f"{space} (loaded in {loading.cpu_seconds:.1f} CPU seconds)", *sums), flush=True)
    return sums[0], sums[1]


def told(what: str, whole: Took, alone: Took) -> str:
    return (
        f"{what}: {whole.cpu_seconds:.1f} CPU seconds, bare passes {alone.cpu_seconds:.1f}:"
        f" {whole.cpu_seconds / alone.cpu_seconds:.3f} times; by the clock {whole.seconds:.1f} s and"
        f" {alone.seconds:.1f} s: {whole.seconds / alone.seconds:.3f} times"
    )


def benchmark(
    count: Annotated[int, typer.Option(help="Images.")] = 100,
    size: Annotated[int, typer.Option(help="Their side.")] = 256,
    threads: Annotated[int, typer.Option(help="CPU threads.")] = 2,
    rounds: Annotated[int, typer.Option(help="Turns of each.")] = 2,
) -> None:
    """Print a line per space and one of all."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    torch.set_num_threads(threads)
    with tempfile.TemporaryDirectory() as folder:
        networks, archive = save_networks(Path(folder, "networks")), images(Path(folder, "images.zip"), count, size)
        measured = [measure(space, network_path(network_of(space), networks), archive, rounds) for space in SPACES]
    whole, alone = (Took(*map(sum, zip(*some, strict=True))) for some in zip(*measured, strict=True))
    print(told(f"{rounds} times {count} images of {size} px in {len(SPACES)} spaces, {threads} threads", whole, alone))
    if whole.cpu_seconds > BAR * alone.cpu_seconds:
        raise SystemExit(f"should be at most {BAR} times the CPU seconds of the bare passes")


if __name__ == "__main__":
    typer.run(benchmark)
