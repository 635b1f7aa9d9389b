"""The Fréchet distance: each library's own, and an interval that covers what theory says it should."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch
from bright_pipeline.evaluation.frechet import frechet_distance, frechet_interval
from cleanfid.fid import fid_from_feats
from feature_sets import gaussian
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric


def moments(set_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return set_.astype(np.float64).mean(0), np.cov(set_.astype(np.float64), rowvar=False)


def test_dgm_evals_equals_its_formula_with_a_matrix_square_root() -> None:
    one, two = gaussian(300, 12, 0), gaussian(200, 12, 1, shift=0.3) * 1.5
    means, covariances = zip(moments(one), moments(two), strict=True)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(one, two, "dgm-eval") == pytest.approx(expected, rel=1e-5)


def test_it_equals_each_librarys_function_of_the_same_features() -> None:
    one, two = np.maximum(gaussian(500, 40, 2), 0), np.maximum(gaussian(400, 40, 3, 0.2), 0)
    statistics = [fid_features_to_statistics(torch.from_numpy(set_)) for set_ in (one, two)]
    of_torch_fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(one, two, "clean-fid") == pytest.approx(fid_from_feats(one, two), rel=1e-6)
    assert frechet_distance(one, two, "torch-fidelity") == of_torch_fidelity


@pytest.mark.parametrize(
    ("n", "m", "shift", "scale"),
    [(400, 400, 0.0, 1.0), (500, 300, 0.3, 1.44)],
    ids=["two halves of one set", "two sets"],
)
def test_95_of_100_intervals_cover_the_expectation_that_theory_gives(n, m, shift, scale) -> None:
    """From N(0, I) and N(s, b I) with n and m samples of D dimensions, to second order in the noise:
    |s|^2 + D (1 - b^(1/2))^2 + D (1/n + b/m) + b^(1/2) D (D + 1) (1/(n - 1) + 1/(m - 1)) / 4

    Without the correction near zero, 99.6 of 100 intervals of two halves would.
    """
    width, root, distances, covered = 8, scale**0.5, [], 0
    expected = width * (shift**2 + (1 - root) ** 2 + 1 / n + scale / m)
    expected += root * width * (width + 1) * (1 / (n - 1) + 1 / (m - 1)) / 4
    for seed in range(200):
        halves = np.split(gaussian(800, width, seed), 2)
        one, two = halves if n == m else (gaussian(n, width, seed), gaussian(m, width, seed + 100_000))
        two = two * np.float32(root) + np.float32(shift)
        distances.append(frechet_distance(one, two, "torch-fidelity"))
        low, high = frechet_interval(one, two, distances[-1])
        covered += low <= expected <= high
    assert np.mean(distances) == pytest.approx(expected, abs=4 * np.std(distances) / 200**0.5)
    assert np.std(distances) / 200**0.5 < 0.02 * expected  # so that the line above says something
    assert 0.925 < covered / 200 < 0.98


@pytest.mark.parametrize("counts", [(120, 90), (30, 25), (120, 25), (7, 5)])
def test_the_interval_is_the_jackknifes_of_distances_taken_one_by_one(counts: tuple[int, int]) -> None:
    """With more images than dimensions, with fewer, and with fewer than groups."""
    sets = gaussian(counts[0], 40, 0, 0.3), gaussian(counts[1], 40, 1) * 1.5
    groups = min(20, *counts)

    def distance(one: np.ndarray, two: np.ndarray) -> float:
        (mean_one, covariance_one), (mean_two, covariance_two) = moments(one), moments(two)
        root = np.sqrt(np.linalg.eigvals(covariance_one @ covariance_two).astype(complex)).real.sum()
        return ((mean_one - mean_two) ** 2).sum() + np.trace(covariance_one + covariance_two) - 2 * root

    variance, bias = 0.0, 0.0
    for side in (0, 1):
        order = np.random.default_rng(0).permutation(counts[side])
        without = []
        for group in np.array_split(order, groups):
            left = [np.delete(x, group, axis=0) if i == side else x for i, x in enumerate(sets)]
            without.append(distance(*left))
        variance += (groups - 1) / groups * ((np.array(without) - np.mean(without)) ** 2).sum()
        bias += (groups - 1) * (np.mean(without) - distance(*sets))
    share = min(bias / distance(*sets), 1)
    half = scipy.stats.t.ppf(0.975, groups - 1) * np.sqrt(variance * (1 - share**2 / 2))
    low, high = frechet_interval(*sets, 100.0)
    assert (low, high) == pytest.approx((max(100 - half, 0), 100 + half), rel=1e-5)


def test_of_equal_sets_the_interval_holds_zero() -> None:
    points = gaussian(60, 5, 0)
    low, high = frechet_interval(points, points, frechet_distance(points, points, "torch-fidelity"))
    assert low == 0.0 and 0.0 <= high < 0.5


@pytest.mark.parametrize(("images", "copied"), [(24, 5), (60, 5)], ids=["fewer images", "features alike"])
def test_sets_without_a_spread_in_some_directions_have_a_distance(images: int, copied: int) -> None:
    """Rounding can make eigenvalues of zero negative."""
    one, two = (np.tile(gaussian(images, 8, seed), copied) for seed in (4, 5))
    distance = frechet_distance(one, two, "dgm-eval")
    low, high = frechet_interval(one, two, distance)
    assert low < distance < high
