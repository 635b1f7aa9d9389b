"""Kernel distance between features, with an interval: KID on InceptionV3's (Bińkowski et al. 2018).

The squared maximum mean discrepancy under k(x, y) = (x y / D + 1)^3, over pairs of different images:

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y)

It has no bias, so that a small set's is not too large on average, and it may fall below zero. With 1,000 images a set
or more it is torch-fidelity's: the mean over 100 random subsets of 1,000. With fewer it is taken once, over all pairs.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.evaluation.feature_files import Features
from pipeline.evaluation.frechet import GROUP_SEED, GROUPS, student_quantile

SUBSETS, SUBSET_SIZE = 100, 1000
SUBSET_SEED = 2020  # torch-fidelity's
DEGREE = 3
FEWEST = 4  # images, since pairs must be left without one group of them

Sums = NDArray[np.float64]
Number = Sums | float  # one or one of each group


def kernel_distance(generated: Features, reference: Features) -> tuple[dict[str, float], tuple[float, float]]:
    """The distance of features (N, D) and (M, D), over subsets their standard deviation too, and its 95% interval.

    The interval is from a delete-a-group jackknife: each set is split at random into 20 groups, and the distance is
    taken again without each, of each subset without those of its images. It covers how the distance moves when both
    sets are drawn again at the same counts. Of equal distributions it is up to 1.4 times as wide as it needs to be.
    """
    fewest = min(len(generated), len(reference))
    if fewest < FEWEST:
        raise InputError(f"kernel distance: needs at least {FEWEST} images a set, not {fewest}")
    if fewest < SUBSET_SIZE:
        parts = [_all_pairs(generated, reference)]
        found = {"kernel_distance": parts[0].distance()}
    else:
        parts = list(_of_subsets(generated, reference))
        distances = np.array([part.library for part in parts])
        found = {"kernel_distance": float(distances.mean()), "kernel_distance_std": float(distances.std())}
    half = student_quantile(group_count(generated, reference) - 1) * _deviation(parts)
    return found, (found["kernel_distance"] - half, found["kernel_distance"] + half)


class _Pairs(NamedTuple):
    """Sums of the kernel over pairs of different images, by the groups (G, G) that these are in.

    made, real: of a set with itself; both: of one with the other; counts: images (G) of each set.
    """

    made: Sums
    real: Sums
    both: Sums
    counts: tuple[Sums, Sums]
    library: float = 0.0
    """The distance in torch-fidelity's bits, of a subset."""

    def distance(self) -> float:
        """Over all pairs."""
        made_count, real_count = (float(one.sum()) for one in self.counts)
        return float(_distance(self.made.sum(), self.real.sum(), self.both.sum(), made_count, real_count))

    def without_each(self) -> tuple[Number, Number]:
        """Without each group (G) of the generated images, and of the reference images."""
        made, real, both = self.made.sum(), self.real.sum(), self.both.sum()
        counts = [one.sum() for one in self.counts]
        less = [sums.sum() - 2 * sums.sum(axis=1) + sums.diagonal() for sums in (self.made, self.real)]
        return (
            _distance(less[0], real, both - self.both.sum(axis=1), counts[0] - self.counts[0], counts[1]),
            _distance(made, less[1], both - self.both.sum(axis=0), counts[0], counts[1] - self.counts[1]),
        )


def _distance(made: Number, real: Number, both: Number, made_count: Number, real_count: Number) -> Number:
    """From sums over pairs of different images and the numbers of images."""
    of_made, of_real = made / (made_count * (made_count - 1)), real / (real_count * (real_count - 1))
    return of_made + of_real - 2 * both / (made_count * real_count)


def _deviation(parts: list[_Pairs]) -> float:
    """The standard deviation of the mean distance over the parts, by the jackknife."""
    variance = 0.0
    for without in zip(*(part.without_each() for part in parts), strict=True):
        of_groups = np.mean(without, axis=0)
        variance += (len(of_groups) - 1) * float(np.var(of_groups))
    return variance**0.5


def group_count(generated: Features, reference: Features) -> int:
    return min(GROUPS, len(generated) // 2, len(reference) // 2)


def groups_of(count: int, groups: int) -> NDArray[np.int64]:
    """The group of each of `count` images, at random."""
    return np.random.default_rng(GROUP_SEED).permutation(count) % groups


def _kernel(one: Features, other: Features) -> Features:
    """(N, M), in torch-fidelity's bits."""
    return (np.matmul(one, other.T) * (1.0 / one.shape[1]) + 1) ** DEGREE


def _library_distance(of_made: Features, of_real: Features, both: Features) -> float:
    """From the kernels of a subset (N, N), in torch-fidelity's bits."""
    count = len(both)
    own_sums = [(kernel.sum(axis=1) - kernel.diagonal()).sum() for kernel in (of_made, of_real)]
    return float(sum(own_sums[1:], own_sums[0]) / (count * (count - 1)) - 2 * both.sum(axis=0).sum() / count**2)


def _all_pairs(generated: Features, reference: Features) -> _Pairs:
    """Of whole sets: of two groups at a time."""
    groups = group_count(generated, reference)
    numbers = [groups_of(len(features), groups) for features in (generated, reference)]
    made, real = (
        [features[of == group] for group in range(groups)]
        for features, of in zip((generated, reference), numbers, strict=True)
    )
    of_made, of_real, both = (np.zeros((groups, groups)) for _ in range(3))
    with Progress("kernel distance", groups, "groups") as progress:
        for row in range(groups):
            for column in range(groups):
                both[row, column] = _kernel(made[row], real[column]).sum(dtype=np.float64)
            for sums, parts in ((of_made, made), (of_real, real)):
                for column in range(row, groups):
                    kernel = _kernel(parts[row], parts[column])
                    own = np.trace(kernel, dtype=np.float64) if row == column else 0.0
                    sums[row, column] = sums[column, row] = kernel.sum(dtype=np.float64) - own
            progress.advance()
    made_counts, real_counts = (np.bincount(of, minlength=groups).astype(np.float64) for of in numbers)
    return _Pairs(of_made, of_real, both, (made_counts, real_counts))


def _of_subsets(generated: Features, reference: Features) -> Iterator[_Pairs]:
    """Of each of torch-fidelity's subsets."""
    made_groups, real_groups = (np.eye(GROUPS)[groups_of(len(features), GROUPS)] for features in (generated, reference))
    random = np.random.RandomState(SUBSET_SEED)
    with Progress("kernel distance", SUBSETS, "subsets") as progress:
        for _ in range(SUBSETS):
            made_rows = random.choice(len(generated), SUBSET_SIZE, replace=False)
            real_rows = random.choice(len(reference), SUBSET_SIZE, replace=False)
            made, made_of = generated[made_rows], made_groups[made_rows]
            real, real_of = reference[real_rows], real_groups[real_rows]
            of_made, of_real, both = _kernel(made, made), _kernel(real, real), _kernel(made, real)
            library = _library_distance(of_made, of_real, both)
            np.fill_diagonal(of_made, 0)
            np.fill_diagonal(of_real, 0)
            yield _Pairs(
                made_of.T @ of_made @ made_of,
                real_of.T @ of_real @ real_of,
                made_of.T @ both @ real_of,
                (made_of.sum(axis=0), real_of.sum(axis=0)),
                library,
            )
            progress.advance()
