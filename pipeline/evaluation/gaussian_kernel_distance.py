"""Kernel distance under a Gaussian kernel, with an interval: CMMD on CLIP's embeddings (Jayasumana et al. 2024).

The squared maximum mean discrepancy under k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), as the authors' code takes it: times
1,000, over all pairs, those of an image with itself too (equation 5 of Gretton et al. 2012):

    1000 (mean k(x, x') + mean k(y, y') - 2 mean k(x, y)),  sigma = 10

So it is never negative, and of equal distributions 1000 (1 - mean k(x, x')) (1 / N + 1 / M) on average: for embeddings
of length 1, whose |x - x'|^2 is 2 at most on average, below 10 (1 / N + 1 / M).
"""

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.evaluation.feature_files import Features
from pipeline.evaluation.frechet import student_quantile
from pipeline.evaluation.kernel_distance import FEWEST, group_count, groups_of

SIGMA, SCALE = 10, 1000

Sums = NDArray[np.float64]


def gaussian_kernel_distance(generated: Features, reference: Features) -> tuple[float, tuple[float, float]]:
    """The distance of features (N, D) and (M, D), and its 95% interval.

    The interval is from a delete-a-group jackknife, as that of `kernel_distance`. Its numbers are those of the authors'
    code in more bits: in 32 a kernel near 1 is rounded by as much as small distances are.
    """
    fewest = min(len(generated), len(reference))
    if fewest < FEWEST:
        raise InputError(f"Gaussian kernel distance: needs at least {FEWEST} images a set, not {fewest}")
    groups = group_count(generated, reference)
    sums, counts = _sums(generated, reference, groups)
    variance = 0.0
    for which in range(2):
        without = [_without(sums, counts, which, group) for group in range(groups)]
        variance += (groups - 1) * float(np.var(without))
    distance, half = _distance(sums, counts), student_quantile(groups - 1) * variance**0.5
    return distance, (distance - half, distance + half)


def _sums(generated: Features, reference: Features, groups: int) -> tuple[Sums, Sums]:
    """Sums (2, 2, G, G) of k - 1 over pairs of images by their sets and groups, and the images (2, G) of each group."""
    numbers = [groups_of(len(features), groups) for features in (generated, reference)]
    parts = [
        [features[of == group] for group in range(groups)]
        for features, of in zip((generated, reference), numbers, strict=True)
    ]
    sums = np.zeros((2, 2, groups, groups))
    with Progress("Gaussian kernel distance", groups, "groups") as progress:
        for row in range(groups):
            for column in range(groups):
                sums[0, 1, row, column] = _kernel_sum(parts[0][row], parts[1][column])
            for which in range(2):
                for column in range(row, groups):
                    found = _kernel_sum(parts[which][row], parts[which][column])
                    sums[which, which, row, column] = sums[which, which, column, row] = found
            progress.advance()
    return sums, np.array([np.bincount(of, minlength=groups) for of in numbers], dtype=np.float64)


def _kernel_sum(one: Features, other: Features) -> float:
    """The sum of k - 1 over all pairs: of numbers near 0, whose bits 32-bit floats keep."""
    lengths = [np.square(features, dtype=np.float64).sum(axis=1) for features in (one, other)]
    squared = np.add.outer(*lengths) - 2 * np.matmul(one, other.T)
    return float(np.expm1(-np.maximum(squared, 0) / (2 * SIGMA**2)).sum())


def _distance(sums: Sums, counts: Sums) -> float:
    """From the sums of k - 1: what is subtracted from each kernel takes itself away."""
    made, real = counts.sum(axis=1)
    own = sums[0, 0].sum() / made**2 + sums[1, 1].sum() / real**2
    return float(SCALE * (own - 2 * sums[0, 1].sum() / (made * real)))


def _without(sums: Sums, counts: Sums, which: int, group: int) -> float:
    """The distance without a group of one of the sets."""
    left, remaining = sums.copy(), counts.copy()
    left[which, :, group] = 0
    left[:, which, :, group] = 0
    remaining[which, group] = 0
    return _distance(left, remaining)
