"""The protocol that a metric carries: without it two numbers cannot be compared."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pipeline.config.evaluation_jobs import EvaluationJob, NeighboursJob
from pipeline.data.archive import ImageArchive
from pipeline.errors import InputError

GENERATION_LIBRARIES = ("torch", "torch-fidelity", "numpy", "pillow")
RECONSTRUCTION_LIBRARIES = ("torch", "lpips", "torchmetrics")


def versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of these libraries."""
    return {library: version(library) for library in libraries}


def same_network(generated: dict[str, Any], reference: dict[str, Any]) -> str:
    """The network behind two feature sets; InputError unless weights and resize rule agree."""
    for key in ("network", "network_sha256", "resize"):
        if generated[key] != reference[key]:
            raise InputError(
                f"features: {key} of the generated images is {generated[key]!r}, of the reference images"
                f" {reference[key]!r}; extract both alike"
            )
    return str(generated["network"])


def check_job(job: EvaluationJob, generated: dict[str, Any], reference: dict[str, Any]) -> None:
    """The feature files must be those that the job speaks of."""
    expected = (
        ("network", job.network, generated["network"]),
        ("reference_count", job.reference_count, reference["count"]),
    )
    for key, told, found in expected:
        if told is not None and told != found:
            raise InputError(f"settings: {key}: {told!r}, but the feature files have {found!r}")


def generation_protocol(
    job: EvaluationJob, generated: dict[str, Any], reference: dict[str, Any], settings: dict[str, Any]
) -> dict[str, Any]:
    """Counts, reference and its hash, network and its hash, resize rule, constants, seed, versions."""
    return {
        "count": generated["count"],
        "reference": job.reference,
        "reference_count": reference["count"],
        "reference_sha256": reference["images_sha256"],
        "network": generated["network"],
        "network_sha256": generated["network_sha256"],
        "resize": generated["resize"],
        **settings,
        "seed": job.seed,
        "versions": versions(GENERATION_LIBRARIES),
    }


def reconstruction_protocol(originals: ImageArchive, networks: dict[str, Path]) -> dict[str, Any]:
    """Image count and size, the LPIPS networks and their hashes, how SSIM and PSNR are pooled, versions."""
    return {
        "count": len(originals),
        "resolution": originals.resolution,
        "channels": originals.channels,
        **{f"{name}_sha256": _sha256(name, path) for name, path in networks.items()},
        "lpips": "0.1, at the images' own resolution",
        "ssim": "Gaussian window 11, sigma 1.5",
        "psnr": "mean over images, 8 bits",
        "versions": versions(RECONSTRUCTION_LIBRARIES),
    }


def neighbours_protocol(job: NeighboursJob, train: ImageArchive, weights: Path) -> dict[str, Any]:
    """How the nearest neighbours were found."""
    return {
        "count": job.count,
        "reference": "train",
        "reference_count": len(train),
        "resolution": train.resolution,
        "network": "lpips_alex",
        "network_sha256": _sha256("lpips_alex", weights),
        "lpips": "0.1, at the images' own resolution",
        "versions": versions(("torch", "lpips")),
    }


def _sha256(name: str, path: Path) -> str:
    from pipeline.evaluation.network_files import read_network  # torch is needed here alone

    return read_network(name, path)[1]
