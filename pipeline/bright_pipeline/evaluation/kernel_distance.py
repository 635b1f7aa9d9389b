"""Kernel distances between features, each with an interval: KID (Bińkowski et al. 2018), CMMD (Jayasumana et al. 2024).

Both are the squared maximum mean discrepancy, mean k(x, x') + mean k(y, y') - 2 mean k(x, y), of a kernel k:

- KID, on InceptionV3's features: k(x, y) = (x y / D + 1)^3, over pairs of different images. It has no bias, also for
  small sets, and may be negative. With 1,000 images a set or more it is torch-fidelity's: the mean over 100 random
  subsets of 1,000. With fewer it is computed once, over all pairs.
- CMMD, on CLIP's embeddings: k(x, y) = exp(-|x - y|^2 / (2 sigma^2)), sigma = 10, times 1,000, over all pairs, those
  of an image with itself too (equation 5 of Gretton et al. 2012), as in the authors' code. It is never negative; for
  equal distributions its mean is 1000 (1 - mean k(x, x')) (1 / N + 1 / M): for embeddings of length 1, whose
  |x - x'|^2 is 2 at most on average, below 10 (1 / N + 1 / M).

The intervals are delete-a-group jackknives over 20 random groups of each set, as of a Fréchet distance. For equal
distributions they are up to 1.4 times as wide as they need to be.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress
from bright_pipeline.evaluation.feature_files import Features
from bright_pipeline.evaluation.frechet import GROUP_SEED, GROUPS, student_quantile
from bright_pipeline.evaluation.summary import Value

SUBSETS, SUBSET_SIZE = 100, 1000
SUBSET_SEED = 2020  # torch-fidelity's
DEGREE = 3
SIGMA, SCALE = 10, 1000  # CMMD's
FEWEST = 4  # images: pairs must remain without one group of them

Sums = NDArray[np.float64]
Number = Sums | float  # a number, or a number for each group


def kernel_distance(generated: Features, reference: Features) -> Value:
    """KID of features (N, D) and (M, D), with its interval; of subsets also their standard deviation."""
    groups = _group_count(generated, reference, "kernel distance")
    if min(len(generated), len(reference)) < SUBSET_SIZE:
        # The sums of the whole sets; two groups are held at a time.
        sums, counts = _group_sums(generated, reference, groups, _kernel_sum, "kernel distance")
        parts = [_Pairs(sums[0, 0], sums[1, 1], sums[0, 1], counts)]
        images = counts.sum(axis=1).tolist()
        distance, std = float(_distance(sums[0, 0].sum(), sums[1, 1].sum(), sums[0, 1].sum(), *images)), None
    else:
        parts = list(_subsets(generated, reference))
        distances = np.array([part.library for part in parts])
        distance, std = float(distances.mean()), float(distances.std())
    variance = 0.0
    for without in zip(*(part.without_each() for part in parts), strict=True):
        of_groups = np.mean(without, axis=0)
        variance += (len(of_groups) - 1) * float(np.var(of_groups))
    half = student_quantile(groups - 1) * variance**0.5
    return Value(number=distance, std=std, interval=(distance - half, distance + half))


def gaussian_kernel_distance(generated: Features, reference: Features) -> Value:
    """CMMD of features (N, D) and (M, D), with its interval."""
    groups = _group_count(generated, reference, "Gaussian kernel distance")
    sums, counts = _group_sums(generated, reference, groups, _gaussian_sum, "Gaussian kernel distance")
    variance = 0.0
    for side in range(2):
        without = []
        for group in range(groups):
            remaining, left = sums.copy(), counts.copy()
            remaining[side, :, group] = 0
            remaining[:, side, :, group] = 0
            left[side, group] = 0
            without.append(_gaussian_distance(remaining, left))
        variance += (groups - 1) * float(np.var(without))
    distance, half = _gaussian_distance(sums, counts), student_quantile(groups - 1) * variance**0.5
    return Value(number=distance, interval=(distance - half, distance + half))


def _group_count(generated: Features, reference: Features, metric: str) -> int:
    fewest = min(len(generated), len(reference))
    if fewest < FEWEST:
        raise InputError(f"{metric}: needs at least {FEWEST} images a set, not {fewest}")
    return min(GROUPS, fewest // 2)


def _groups_of(count: int, groups: int) -> NDArray[np.int64]:
    """The group of each of `count` images, at random."""
    return np.random.default_rng(GROUP_SEED).permutation(count) % groups


def _group_sums(
    generated: Features,
    reference: Features,
    groups: int,
    kernel_sum: Callable[[Features, Features, bool], float],  # over pairs; the bool: whether both are one group
    label: str,
) -> tuple[Sums, Sums]:
    """Sums (2, 2, G, G) of a kernel over pairs of images by their sets and groups, and the images (2, G) of a group."""
    sets = (generated, reference)
    numbers = [_groups_of(len(features), groups) for features in sets]
    parts = [[features[of == group] for group in range(groups)] for features, of in zip(sets, numbers, strict=True)]
    sums = np.zeros((2, 2, groups, groups))
    with Progress(label, groups, "groups") as progress:
        for row in range(groups):
            for column in range(groups):
                sums[0, 1, row, column] = kernel_sum(parts[0][row], parts[1][column], False)
            for side in range(2):
                for column in range(row, groups):
                    total = kernel_sum(parts[side][row], parts[side][column], row == column)
                    sums[side, side, row, column] = sums[side, side, column, row] = total
            progress.advance()
    return sums, np.array([np.bincount(of, minlength=groups) for of in numbers], dtype=np.float64)


def _gaussian_sum(some: Features, others: Features, same: bool) -> float:
    """The sum of k - 1 over all pairs, in float64: in 32 bits k near 1 is rounded by as much as a small distance."""
    lengths = [np.square(features, dtype=np.float64).sum(axis=1) for features in (some, others)]
    squared = np.add.outer(*lengths) - 2 * np.matmul(some, others.T)
    return float(np.expm1(-np.maximum(squared, 0) / (2 * SIGMA**2)).sum())


def _gaussian_distance(sums: Sums, counts: Sums) -> float:
    """From the sums of k - 1: the ones cancel."""
    generated, reference = counts.sum(axis=1)
    within = sums[0, 0].sum() / generated**2 + sums[1, 1].sum() / reference**2
    return float(SCALE * (within - 2 * sums[0, 1].sum() / (generated * reference)))


def _kernel(some: Features, others: Features) -> Features:
    """KID's kernel (N, M), bit-identical to torch-fidelity."""
    return (np.matmul(some, others.T) * (1.0 / some.shape[1]) + 1) ** DEGREE


def _kernel_sum(some: Features, others: Features, same: bool) -> float:
    """The sum of KID's kernel over pairs of different images."""
    kernel = _kernel(some, others)
    return float(kernel.sum(dtype=np.float64) - (np.trace(kernel, dtype=np.float64) if same else 0.0))


class _Pairs(NamedTuple):
    """Sums of KID's kernel over pairs of different images, by the groups (G, G) of the two images."""

    generated: Sums  # within the generated set
    reference: Sums  # within the reference set
    between: Sums  # between the sets
    counts: Sums  # images (G) of each set
    library: float = 0.0  # a subset's distance, bit-identical to torch-fidelity

    def without_each(self) -> tuple[Number, Number]:
        """Without each group (G) of the generated images, and without each of the reference images."""
        within, between = [self.generated.sum(), self.reference.sum()], self.between.sum()
        counts = [groups.sum() for groups in self.counts]
        less = [sums.sum() - 2 * sums.sum(axis=1) + sums.diagonal() for sums in (self.generated, self.reference)]
        return (
            _distance(less[0], within[1], between - self.between.sum(axis=1), counts[0] - self.counts[0], counts[1]),
            _distance(within[0], less[1], between - self.between.sum(axis=0), counts[0], counts[1] - self.counts[1]),
        )


def _distance(first: Number, second: Number, between: Number, count: Number, second_count: Number) -> Number:
    """From sums over pairs of different images of two sets, and their numbers of images."""
    within = first / (count * (count - 1)) + second / (second_count * (second_count - 1))
    return within - 2 * between / (count * second_count)


def _subsets(generated: Features, reference: Features) -> Iterator[_Pairs]:
    """The sums of each of torch-fidelity's subsets."""
    sets = [(images, np.eye(GROUPS)[_groups_of(len(images), GROUPS)]) for images in (generated, reference)]
    random = np.random.RandomState(SUBSET_SEED)
    with Progress("kernel distance", SUBSETS, "subsets") as progress:
        for _ in range(SUBSETS):
            rows = [random.choice(len(images), SUBSET_SIZE, replace=False) for images, _ in sets]
            features = [images[chosen] for (images, _), chosen in zip(sets, rows, strict=True)]
            groups = [of[chosen] for (_, of), chosen in zip(sets, rows, strict=True)]
            kernels, between = [_kernel(subset, subset) for subset in features], _kernel(*features)
            sums = [(kernel.sum(axis=1) - kernel.diagonal()).sum() for kernel in kernels]
            within = (sums[0] + sums[1]) / (SUBSET_SIZE * (SUBSET_SIZE - 1))
            library = float(within - 2 * between.sum(axis=0).sum() / SUBSET_SIZE**2)
            for kernel in kernels:
                np.fill_diagonal(kernel, 0)
            first, second = (of.T @ kernel @ of for of, kernel in zip(groups, kernels, strict=True))
            counts = np.array([of.sum(axis=0) for of in groups])
            yield _Pairs(first, second, groups[0].T @ between @ groups[1], counts, library)
            progress.advance()
