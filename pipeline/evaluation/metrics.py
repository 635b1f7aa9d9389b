"""Metrics of generation (appendix B) from stored features, by torch-fidelity's own functions.

- Fréchet distance: |m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2)); FID on InceptionV3's features.
- Score: exp(mean KL(p(y|x) || p(y))), mean and deviation over 10 splits; IS on InceptionV3's logits.
- Precision and recall (Kynkäänniemi): the share of generated (reference) images inside some ball around
  a reference (generated) image that reaches to its third nearest neighbour; F1 is their harmonic mean.

On another network's features these are other metrics, and the tables name them so.
"""

from typing import Any

import torch
from torch_fidelity.metric_fid import (
    KEY_METRIC_FID,
    fid_features_to_statistics,
    fid_statistics_to_metric,
)
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric
from torch_fidelity.metric_prc import (
    KEY_METRIC_F_SCORE,
    KEY_METRIC_PRECISION,
    KEY_METRIC_RECALL,
    prc_features_to_metric,
)

from pipeline.errors import InputError
from pipeline.evaluation.feature_files import Features, FeatureSet
from pipeline.evaluation.protocol import same_space

SCORE_SPLITS = 10
SCORE_SHUFFLE_SEED = 2020  # torch-fidelity's: without the shuffle the score of a small set moves by per cents
NEIGHBOURHOOD = 3
MOST_ROWS = 10_000  # torch-fidelity's default for rows of a distance matrix at once

# What each space's features are used for.
SERVES = {
    "inception": ("frechet_distance", "score"),
    "inception_clean": ("frechet_distance",),
    "clip": ("frechet_distance",),
    "vgg16": ("precision_recall",),
    "vgg16_paper": ("precision_recall",),
    "efficientnet_lite0": ("frechet_distance", "score", "precision_recall"),
}


def generation_metrics(generated: FeatureSet, reference: FeatureSet, memory_gb: float) -> dict[str, float]:
    """The metrics that the features' space serves."""
    serves = SERVES[same_space(generated.facts, reference.facts)]
    metrics: dict[str, float] = {}
    if "frechet_distance" in serves:
        metrics["frechet_distance"] = frechet_distance(generated.features, reference.features)
    if "score" in serves:
        if generated.logits is None:
            raise InputError(f"features in {generated.facts['space']}: no logits, which the score needs")
        metrics |= score(generated.logits)
    if "precision_recall" in serves:
        metrics |= precision_recall(generated.features, reference.features, memory_gb)
    return metrics


def metric_settings(space: str) -> dict[str, Any]:
    """The constants behind a space's metrics, for the protocol."""
    settings: dict[str, dict[str, Any]] = {
        "frechet_distance": {},
        "score": {"score_splits": SCORE_SPLITS, "score_shuffle_seed": SCORE_SHUFFLE_SEED},
        "precision_recall": {"precision_recall": "torch_fidelity", "neighbourhood": NEIGHBOURHOOD},
    }
    return {key: value for metric in SERVES[space] for key, value in settings[metric].items()}


def frechet_distance(generated: Features, reference: Features) -> float:
    """Between Gaussian fits to features (N, D) and (M, D)."""
    statistics = [fid_features_to_statistics(torch.from_numpy(set_)) for set_ in (generated, reference)]
    return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]


def score(logits: Features) -> dict[str, float]:
    """The inception-type score of logits (N, classes): mean and standard deviation over the splits."""
    if len(logits) < SCORE_SPLITS:
        raise InputError(f"score: needs at least {SCORE_SPLITS} images, one a split, not {len(logits)}")
    found = isc_features_to_metric(torch.from_numpy(logits), SCORE_SPLITS, True, SCORE_SHUFFLE_SEED)
    return {"score_mean": found[KEY_METRIC_ISC_MEAN], "score_std": found[KEY_METRIC_ISC_STD]}


def precision_recall(generated: Features, reference: Features, memory_gb: float) -> dict[str, float]:
    """Precision, recall and F1, exact; distances are held for some rows at a time only."""
    fewest = min(len(generated), len(reference))
    if fewest <= NEIGHBOURHOOD:
        raise InputError(f"precision and recall: need more than {NEIGHBOURHOOD} images a set, not {fewest}")
    found = prc_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(reference),
        prc_neighborhood=NEIGHBOURHOOD,
        prc_batch_size=rows_at_once(max(len(generated), len(reference)), memory_gb),
        save_cpu_ram=True,
        verbose=False,
    )
    return {
        "precision": found[KEY_METRIC_PRECISION],
        "recall": found[KEY_METRIC_RECALL],
        "f1": found[KEY_METRIC_F_SCORE],
    }


def rows_at_once(columns: int, memory_gb: float) -> int:
    """Rows of a 32-bit distance matrix such that rows, their joined copy and its sorted values fit."""
    return max(1, min(MOST_ROWS, int(memory_gb * 1e9 / (4 * 4 * columns))))
