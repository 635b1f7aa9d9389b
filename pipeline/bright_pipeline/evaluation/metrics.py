"""Metrics of generation (appendix B) from stored features, each with a 95% interval.

METRICS has how each is computed. Each feature space names its own (`bright_pipeline/settings/spaces.py`). On another
network's features they are other metrics, and the tables name them so.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch

from bright_pipeline.base.errors import InputError
from bright_pipeline.evaluation import kernel_distance as kernels
from bright_pipeline.evaluation import precision_recall as neighbourhoods
from bright_pipeline.evaluation.feature_files import Features, FeatureSet
from bright_pipeline.evaluation.frechet import CONFIDENCE, GROUPS, frechet_distance, frechet_interval, student_quantile
from bright_pipeline.evaluation.summary import Summary, Value, versions
from bright_pipeline.settings.spaces import DISTANCE, OF_RECONSTRUCTIONS, SPACES
from bright_pipeline.stages.evaluation import EvaluationJob

SCORE_SPLITS = 10
SCORE_SHUFFLE_SEED = 2020  # torch-fidelity's: without the shuffle the score of a small set moves by per cents


def frechet(generated: FeatureSet, reference: FeatureSet, library: str) -> dict[str, Value]:
    """FID on InceptionV3's features, CLIP-FID on CLIP's, FD-DINOv2 on DINOv2's."""
    sets = generated.features, reference.features
    distance = frechet_distance(*sets, library)
    return {"frechet_distance": Value(number=distance, interval=frechet_interval(*sets, distance))}


def score(logits: Features | None) -> Value:
    """exp(mean KL(p(y|x) || p(y))) of logits (N, classes), bit-identical to torch-fidelity; IS on InceptionV3's.

    Mean and standard deviation over the splits. The interval is of a tenth of the images, with the bias of that count.
    """
    if logits is None:
        raise InputError("score: needs logits, which this feature space does not have")
    if len(logits) < SCORE_SPLITS:
        raise InputError(f"score: needs at least {SCORE_SPLITS} images, one a split, not {len(logits)}")
    shuffled = torch.from_numpy(np.random.RandomState(SCORE_SHUFFLE_SEED).permutation(logits)).double()
    chances, logarithms = shuffled.softmax(1), shuffled.log_softmax(1)
    scores = []
    for split in range(SCORE_SPLITS):
        rows = slice(split * len(logits) // SCORE_SPLITS, (split + 1) * len(logits) // SCORE_SPLITS)
        divergence = chances[rows] * (logarithms[rows] - chances[rows].mean(0, keepdim=True).log())
        scores.append(divergence.sum(1).mean().exp().item())
    mean, std = float(np.mean(scores)), float(np.std(scores))
    # torch-fidelity's deviation divides by the number of splits, not by one less.
    half = student_quantile(SCORE_SPLITS - 1) * (std / (SCORE_SPLITS - 1) ** 0.5)
    return Value(number=mean, std=std, interval=(mean - half, mean + half))


def by_neighbours(generated: FeatureSet, reference: FeatureSet, protocol: str) -> dict[str, Value]:
    numbers = neighbourhoods.precision_recall(generated.features, reference.features, protocol)
    intervals = neighbourhoods.precision_recall_intervals(numbers, len(generated), len(reference))
    return {
        name: Value(number=numbers[name], std=numbers.get(f"{name}_std"), interval=interval)
        for name, interval in intervals.items()
    }


class Metric(NamedTuple):
    """compute: of generated and reference features, by a library or protocol; constants, interval: for the protocol."""

    compute: Callable[[FeatureSet, FeatureSet, str], dict[str, Value]]
    constants: Mapping[str, Any] = MappingProxyType({})
    interval: str = f"jackknife over {GROUPS} groups of either set"


METRICS = {
    DISTANCE: Metric(frechet),
    "kernel_distance": Metric(
        lambda some, others, library: {"kernel_distance": kernels.kernel_distance(some.features, others.features)},
        {
            "kernel": "(x y / D + 1)^3",
            "kernel_distance_over": f"{kernels.SUBSETS} subsets of {kernels.SUBSET_SIZE} images, seed"
            f" {kernels.SUBSET_SEED}; all pairs where a set has fewer",
        },
    ),
    "gaussian_kernel_distance": Metric(
        lambda some, others, library: {
            "gaussian_kernel_distance": kernels.gaussian_kernel_distance(some.features, others.features)
        },
        {
            "kernel": f"exp(-|x - y|^2 / {2 * kernels.SIGMA**2}), times {kernels.SCALE}",
            "gaussian_kernel_distance_over": "all pairs, those of an image with itself too",
        },
    ),
    "score": Metric(
        lambda generated, reference, library: {"score_mean": score(generated.logits)},
        {"score_splits": SCORE_SPLITS, "score_shuffle_seed": SCORE_SHUFFLE_SEED},
        "Student's t over the splits",
    ),
    "precision_recall": Metric(
        by_neighbours,
        {
            "neighbourhood": neighbourhoods.NEIGHBOURHOOD,
            "density_coverage_neighbourhood": neighbourhoods.WIDE_NEIGHBOURHOOD,
        },
        "Wilson interval with the neighbourhoods held fixed; Student's t for density",
    ),
}


def feature_summary(job: EvaluationJob, generated: FeatureSet, reference: FeatureSet) -> Summary:
    """The summary of the first `job.count` generated images; InputError if the feature files do not fit the job."""
    generated = generated.first(job.count)
    for key, stored in (("space", generated.facts["space"]), ("reference_count", len(reference))):
        if (expected := getattr(job, key)) is not None and expected != stored:
            raise InputError(f"settings: {key}: {expected!r}, but the feature files have {stored!r}")
    only = (DISTANCE,) if job.of_reconstructions else ()
    protocol = {
        "count": len(generated),
        "reference": job.reference,
        "reference_count": len(reference),
        "reference_sha256": reference.images_sha256,
        "reference_prepared": job.prepared,
        **generated.facts,
        **metric_settings(job.space, only),
        "seed": job.seed,
        "versions": versions("torch", "torchvision", "torch-fidelity", "clean-fid", "numpy", "pillow", "scipy"),
    }
    prefix = (OF_RECONSTRUCTIONS if job.of_reconstructions else "") + (SPACES[job.space].columns_of or job.space)
    values = {
        f"{prefix}.{metric}": value.model_copy(update={"protocol": protocol})
        for metric, value in generation_metrics(generated, reference, only).items()
    }
    traits = {"method": job.method, "sample_kind": job.sample_kind, "prepared": job.prepared}
    traits |= {} if job.code_size is None else {"code_size": job.code_size}
    return Summary(kind=job.kind, traits=traits, values=values)


def generation_metrics(generated: FeatureSet, reference: FeatureSet, only: tuple[str, ...] = ()) -> dict[str, Value]:
    """A space's metrics by name, or `only` some; InputError unless both sets have one network and one resizing."""
    for key in ("space", "network", "network_sha256", "resize"):
        facts = generated.facts[key], reference.facts[key]
        if facts[0] != facts[1]:
            line = "features: {} of the generated images is {!r}, of the reference images {!r}; extract both alike"
            raise InputError(line.format(key, *facts))
    values: dict[str, Value] = {}
    for name, library in SPACES[generated.facts["space"]].metrics.items():
        if not only or name in only:
            values |= METRICS[name].compute(generated, reference, library)
    return values


def metric_settings(space: str, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """The library, the interval and the constants of each metric of a space, for the protocol."""
    settings: dict[str, Any] = {}
    for name, library in SPACES[space].metrics.items():
        if not only or name in only:
            interval = f"{CONFIDENCE:.0%}, {METRICS[name].interval}"
            settings |= {name: library, f"{name}_interval": interval, **METRICS[name].constants}
    return settings
