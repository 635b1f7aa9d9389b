"""Metrics of generation (appendix B) from stored features, each with a 95% interval.

- Fréchet distance (frechet): FID on InceptionV3's features, CLIP-FID on CLIP's, FD-DINOv2 on DINOv2's.
- Kernel distance (kernel_distance): KID on InceptionV3's features.
- Gaussian kernel distance (gaussian_kernel_distance): CMMD on CLIP ViT-L/14's embeddings at 336 px.
- Score: exp(mean KL(p(y|x) || p(y))), mean and deviation over 10 splits; IS on InceptionV3's logits.
- Precision, recall, F1, density and coverage (precision_recall).

On another network's features these are other metrics, and the tables name them so.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from pipeline.base.errors import InputError
from pipeline.base.summary import Summary, Value
from pipeline.evaluation.feature_files import Features, FeatureSet
from pipeline.evaluation.frechet import CONFIDENCE, GROUPS, frechet_distance, frechet_interval, student_quantile
from pipeline.evaluation.gaussian_kernel_distance import SCALE, SIGMA, gaussian_kernel_distance
from pipeline.evaluation.kernel_distance import SUBSET_SEED, SUBSET_SIZE, SUBSETS, kernel_distance
from pipeline.evaluation.precision_recall import (
    NEIGHBOURHOOD,
    WIDE_NEIGHBOURHOOD,
    precision_recall,
    precision_recall_intervals,
)
from pipeline.evaluation.protocol import check_job, generation_protocol, same_space
from pipeline.stages.evaluation import EvaluationJob

SCORE_SPLITS = 10
SCORE_SHUFFLE_SEED = 2020  # torch-fidelity's: without the shuffle the score of a small set moves by per cents

# What each feature space is used for, and whose function or which protocol takes it.
SERVES: dict[str, dict[str, str]] = {
    "inception": {"frechet_distance": "torch-fidelity", "kernel_distance": "torch-fidelity", "score": "torch-fidelity"},
    "inception_clean": {"frechet_distance": "clean-fid"},
    "clip": {"frechet_distance": "clean-fid"},
    "clip_l14_336": {"gaussian_kernel_distance": "google-research/cmmd"},
    "vgg16": {"precision_recall": "torch_fidelity"},
    "vgg16_paper": {"precision_recall": "paper_repository"},
    "dinov2": {"frechet_distance": "dgm-eval"},
    "efficientnet_lite0": {
        "frechet_distance": "torch-fidelity",
        "score": "torch-fidelity",
        "precision_recall": "torch_fidelity",
    },
}
# Precision and recall on VGG16 share columns whatever their protocol: a table refuses rows of both.
COLUMN_SPACES = {"vgg16_paper": "vgg16"}


@dataclass
class Scores:
    """Metrics by name, and the ends of their 95% intervals."""

    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)


def feature_summary(job: EvaluationJob, generated: FeatureSet, reference: FeatureSet) -> Summary:
    """The summary of the first `job.count` generated images against the reference images."""
    generated = generated.first(job.count)
    check_job(job, generated, reference)
    only = None if job.kind == "generation" else ("frechet_distance",)
    scores = generation_metrics(generated, reference, only)
    protocol = generation_protocol(job, generated, reference, metric_settings(job.space, only))
    prefix = ("" if job.kind == "generation" else "rfid.") + COLUMN_SPACES.get(job.space, job.space)
    values = {
        f"{prefix}.{metric}": Value(
            number=number,
            std=scores.metrics.get(f"{metric.removesuffix('_mean')}_std"),
            interval=scores.intervals.get(metric),
            protocol=protocol,
        )
        for metric, number in scores.metrics.items()
        if not metric.endswith("_std")
    }
    traits = {"method": job.method, "sample_kind": job.sample_kind, "prepared": job.prepared}
    traits |= {} if job.code_size is None else {"code_size": job.code_size}
    return Summary(kind=job.kind, traits=traits, values=values)


def generation_metrics(generated: FeatureSet, reference: FeatureSet, only: tuple[str, ...] | None = None) -> Scores:
    """The metrics that the feature space serves (SERVES), or `only` some of these."""
    space = same_space(generated.facts, reference.facts)
    serves = {kind: how for kind, how in SERVES[space].items() if only is None or kind in only}
    made, real = generated.features, reference.features
    scores = Scores()
    if "frechet_distance" in serves:
        distance = frechet_distance(made, real, serves["frechet_distance"])
        scores.metrics["frechet_distance"] = distance
        scores.intervals["frechet_distance"] = frechet_interval(made, real, distance)
    if "kernel_distance" in serves:
        distances, interval = kernel_distance(made, real)
        scores.metrics |= distances
        scores.intervals["kernel_distance"] = interval
    if "gaussian_kernel_distance" in serves:
        distance, interval = gaussian_kernel_distance(made, real)
        scores.metrics["gaussian_kernel_distance"] = distance
        scores.intervals["gaussian_kernel_distance"] = interval
    if "score" in serves:
        if generated.logits is None:
            raise InputError(f"features in {space}: no logits, which the score needs")
        scores.metrics |= score(generated.logits)
        scores.intervals["score_mean"] = score_interval(scores.metrics)
    if "precision_recall" in serves:
        found = precision_recall(made, real, serves["precision_recall"])
        scores.metrics |= found
        scores.intervals |= precision_recall_intervals(found, len(made), len(real))
    return scores


def metric_settings(space: str, only: tuple[str, ...] | None = None) -> dict[str, Any]:
    """Whose functions take a space's metrics, their constants and their intervals, for the protocol."""
    settings: dict[str, dict[str, Any]] = {
        "frechet_distance": {"interval": f"jackknife over {GROUPS} groups of either set"},
        "kernel_distance": {
            "kernel": "(x y / D + 1)^3",
            "kernel_distance_over": f"{SUBSETS} subsets of {SUBSET_SIZE} images, seed {SUBSET_SEED};"
            " all pairs where a set has fewer",
            "interval": f"jackknife over {GROUPS} groups of either set",
        },
        "gaussian_kernel_distance": {
            "kernel": f"exp(-|x - y|^2 / {2 * SIGMA**2}), times {SCALE}",
            "gaussian_kernel_distance_over": "all pairs, those of an image with itself too",
            "interval": f"jackknife over {GROUPS} groups of either set",
        },
        "score": {
            "score_splits": SCORE_SPLITS,
            "score_shuffle_seed": SCORE_SHUFFLE_SEED,
            "interval": "Student's t over the splits",
        },
        "precision_recall": {
            "neighbourhood": NEIGHBOURHOOD,
            "density_coverage_neighbourhood": WIDE_NEIGHBOURHOOD,
            "interval": "Wilson's, of density Student's t, the balls fixed",
        },
    }
    told: dict[str, Any] = {}
    for kind, how in SERVES[space].items():
        if only is None or kind in only:
            constants = dict(settings[kind])
            told |= {kind: how, f"{kind}_interval": f"{CONFIDENCE:.0%}, {constants.pop('interval')}", **constants}
    return told


def score(logits: Features) -> dict[str, float]:
    """The inception-type score of logits (N, classes): mean and deviation over splits, with torch-fidelity's bits."""
    if len(logits) < SCORE_SPLITS:
        raise InputError(f"score: needs at least {SCORE_SPLITS} images, one a split, not {len(logits)}")
    order = np.random.RandomState(SCORE_SHUFFLE_SEED).permutation(len(logits))
    shuffled = torch.from_numpy(logits)[order].double()
    chances, logarithms = shuffled.softmax(1), shuffled.log_softmax(1)
    scores = []
    for split in range(SCORE_SPLITS):
        rows = slice(split * len(logits) // SCORE_SPLITS, (split + 1) * len(logits) // SCORE_SPLITS)
        divergence = chances[rows] * (logarithms[rows] - chances[rows].mean(0, keepdim=True).log())
        scores.append(divergence.sum(1).mean().exp().item())
    return {"score_mean": float(np.mean(scores)), "score_std": float(np.std(scores))}


def score_interval(found: dict[str, float]) -> tuple[float, float]:
    """The 95% interval of a mean over splits: of the score at a tenth of the images, the bias of that included.

    `score_std` is torch-fidelity's, divided by the number of splits and not by one less.
    """
    error = found["score_std"] / (SCORE_SPLITS - 1) ** 0.5
    half = student_quantile(SCORE_SPLITS - 1) * error
    return found["score_mean"] - half, found["score_mean"] + half
