"""The protocol that a metric carries: without it two numbers cannot be compared."""

from collections import defaultdict
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive, content_digest
from pipeline.evaluation.feature_files import FeatureSet
from pipeline.models.metric_networks.files import read_network
from pipeline.stages.evaluation import EvaluationJob, NeighboursJob


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of these libraries."""
    return {library: version(library) for library in libraries}


def same_space(generated: dict[str, Any], reference: dict[str, Any]) -> str:
    """The space of two feature sets; InputError unless weights and resize rule agree."""
    for key in ("space", "network", "network_sha256", "resize"):
        if generated[key] != reference[key]:
            raise InputError(
                f"features: {key} of the generated images is {generated[key]!r}, of the reference images"
                f" {reference[key]!r}; extract both alike"
            )
    return str(generated["space"])


def check_job(job: EvaluationJob, generated: FeatureSet, reference: FeatureSet) -> None:
    """The feature files must be those that the job speaks of."""
    for key, found in (("space", generated.facts["space"]), ("reference_count", len(reference))):
        if (told := getattr(job, key)) is not None and told != found:
            raise InputError(f"settings: {key}: {told!r}, but the feature files have {found!r}")


def generation_protocol(
    job: EvaluationJob, generated: FeatureSet, reference: FeatureSet, settings: dict[str, Any]
) -> dict[str, Any]:
    """Counts, reference and its hash, resize rules, network and its hash, constants, seed, versions."""
    return {
        "count": len(generated),
        "reference": job.reference,
        "reference_count": len(reference),
        "reference_sha256": reference.images_sha256,
        "reference_prepared": job.prepared,
        **generated.facts,
        **settings,
        "seed": job.seed,
        "versions": versions(("torch", "torchvision", "torch-fidelity", "clean-fid", "numpy", "pillow", "scipy")),
    }


OF_METRICS = {"ssim": "Gaussian window 11, sigma 1.5", "psnr": "mean over images, 8 bits"}


def reconstruction_protocols(
    originals: ImageArchive, images_sha256: str, networks: dict[str, Path]
) -> Mapping[str, dict[str, Any]]:
    """The protocol of each metric of reconstructions: the images' count, hash and size, the metric's own constants.

    `networks`: the weights of each LPIPS metric. A metric without constants has the part that all share.
    """
    images = {
        "count": len(originals),
        "reference": "validation",
        "images_sha256": images_sha256,
        "resize": "none",
        "resolution": originals.resolution,
        "channels": originals.channels,
        "versions": versions(("torch",)),
    }
    found = defaultdict(lambda: images, {name: images | {name: how} for name, how in OF_METRICS.items()})
    for name, path in networks.items():
        own = {f"{name}_sha256": read_network(name, path, "numpy")[1], "lpips": "0.1, at the images' own resolution"}
        found[name] = images | own | {"versions": versions(("torch", "lpips"))}
    return found


def noise_protocol(images: ImageArchive, count: int, codes: int, lpips_alex: Path, seed: int) -> dict[str, Any]:
    """How codes were measured: images, codes, and the noise on them."""
    protocols = reconstruction_protocols(images, content_digest(images), {"lpips_alex": lpips_alex})
    return {
        **protocols["psnr"],
        **protocols["lpips_alex"],
        "count": count,
        "codes": codes,
        "noise": "uniform within ± size, on the codes before tiling, within their bounds",
        "seed": seed,
    }


def neighbours_protocol(job: NeighboursJob, train: ImageArchive, weights: Path) -> dict[str, Any]:
    """How the nearest neighbours were found."""
    return {
        "count": job.count,
        "reference": "train",
        "reference_count": len(train),
        "reference_sha256": content_digest(train),
        "resize": "none",
        "resolution": train.resolution,
        "network": "lpips_alex",
        "network_sha256": read_network("lpips_alex", weights, "numpy")[1],
        "lpips": "0.1, at the images' own resolution",
        "versions": versions(("torch", "lpips")),
    }
