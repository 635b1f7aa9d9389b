"""The kernel distance (KID): torch-fidelity's number, without bias for small sets, with an interval that holds."""

import tracemalloc
from itertools import combinations, product

import numpy as np
import pytest
import torch
from jackknife import half_width
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

from pipeline.evaluation import kernel_distance as module
from pipeline.evaluation.kernel_distance import kernel_distance


def gaussian(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) + shift).astype(np.float32)


def by_pairs(made: np.ndarray, real: np.ndarray) -> float:
    """The definition, pair by pair, in 64 bits."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x.astype(np.float64) @ y.astype(np.float64) / len(x) + 1) ** 3)

    own = [np.mean([kernel(x, y) for x, y in combinations(rows, 2)]) for rows in (made, real)]
    return float(sum(own) - 2 * np.mean([kernel(x, y) for x, y in product(made, real)]))


def test_1000_images_and_more_have_the_librarys_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6 and better: to the bit, of 15 of its 100 subsets."""
    monkeypatch.setattr(module, "SUBSETS", 15)
    generated, reference = gaussian(1300, 32, 0, 0.1), gaussian(1000, 32, 1)
    found = kernel_distance(generated, reference)
    theirs = kid_features_to_metric(
        *map(torch.from_numpy, (generated, reference)), kid_subsets=15, kid_subset_size=1000, verbose=False
    )
    assert (found.number, found.std) == (theirs[KEY_METRIC_KID_MEAN], theirs[KEY_METRIC_KID_STD])
    assert found.interval[0] < found.number < found.interval[1]


def test_the_defaults_are_the_librarys() -> None:
    from torch_fidelity.defaults import DEFAULTS

    ours = (module.SUBSETS, module.SUBSET_SIZE, module.SUBSET_SEED, module.DEGREE, 1, None)
    keys = ("kid_subsets", "kid_subset_size", "rng_seed", "kid_kernel_poly_degree", "kid_kernel_poly_coef0")
    assert ours == (*(DEFAULTS[key] for key in keys), DEFAULTS["kid_kernel_poly_gamma"])


def test_fewer_images_have_the_mean_over_all_pairs() -> None:
    generated, reference = gaussian(23, 3, 0, 0.5), gaussian(31, 3, 1)
    found = kernel_distance(generated, reference)
    assert found.number == pytest.approx(by_pairs(generated, reference), rel=1e-5) and found.std is None


def test_the_interval_is_from_distances_without_each_group() -> None:
    """Each distance taken anew from the images that are left."""
    sets = gaussian(24, 3, 0, 0.5), gaussian(30, 3, 1)
    found = kernel_distance(*sets)
    low, high = found.interval
    assert (high - low) / 2 == pytest.approx(half_width(sets, by_pairs), rel=1e-3)
    assert (high + low) / 2 == pytest.approx(found.number)


@pytest.mark.parametrize("subsets", [False, True], ids=["all pairs", "subsets"])
@pytest.mark.parametrize(("shift", "most"), [(0.0, 1.0), (0.4, 0.98)])
def test_95_of_100_intervals_hold_the_true_distance(
    monkeypatch: pytest.MonkeyPatch, shift: float, most: float, subsets: bool
) -> None:
    """Of 150 draws of 60 and 70 points in 8 dimensions, whose mean is the truth; of equal ones nearly all hold it."""
    if subsets:
        monkeypatch.setattr(module, "SUBSETS", 4)
        monkeypatch.setattr(module, "SUBSET_SIZE", 40)
    draws = [kernel_distance(gaussian(60, 8, 2 * seed, shift), gaussian(70, 8, 2 * seed + 1)) for seed in range(150)]
    distances = np.array([found.number for found in draws])
    truth = expected(shift, shift) + expected(0, 0) - 2 * expected(shift, 0)
    assert abs(distances.mean() - truth) < 3 * distances.std() / 150**0.5, "no bias"
    held = np.mean([found.interval[0] <= truth <= found.interval[1] for found in draws])
    assert 0.91 <= held <= most


def expected(one: float, other: float, width: int = 8) -> float:
    """The mean of k(x, y) of x about `one` and y about `other`: given y, x y is Gaussian, of known moments."""
    rng = np.random.default_rng(7)
    y = rng.normal(size=(400_000, width)) + other
    mean, variance = one * y.sum(axis=1) / width, (y**2).sum(axis=1) / width**2
    return float(np.mean((1 + mean) ** 3 + 3 * (1 + mean) * variance))


def test_no_more_than_two_groups_are_held_at_a_time() -> None:
    """Of 300 against 900 images: all pairs of the latter would take 3.2 MB."""
    sets = gaussian(300, 4, 0), gaussian(900, 4, 1)
    kernel_distance(*sets)
    tracemalloc.start()
    kernel_distance(*sets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.3e6
