"""Kernel distances: KID is torch-fidelity's number and has no bias, CMMD the authors' formula; intervals that hold."""

import tracemalloc
from collections.abc import Callable
from itertools import combinations, product

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.evaluation import kernel_distance as module
from bright_pipeline.evaluation.kernel_distance import gaussian_kernel_distance, kernel_distance
from bright_pipeline.evaluation.summary import Value
from feature_sets import gaussian
from scipy.spatial.distance import cdist
from torch_fidelity.defaults import DEFAULTS
from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

GROUPS, QUANTILE = 12, 2.201  # Student's t of 11 degrees of freedom at 97.5%
Distance = Callable[[np.ndarray, np.ndarray], Value]


def half_width(sets: tuple[np.ndarray, np.ndarray], distance: Callable[..., float]) -> float:
    """Half of the 95% interval of a jackknife, from the distances without each group of either set."""
    variance = 0.0
    for which, features in enumerate(sets):
        groups = np.random.default_rng(0).permutation(len(features)) % GROUPS  # of two images or three
        without = []
        for group in range(GROUPS):
            left = list(sets)
            left[which] = features[groups != group]
            without.append(distance(*left))
        variance += (GROUPS - 1) * float(np.var(without))
    return QUANTILE * variance**0.5


def embeddings(count: int, seed: int, shift: float = 0.0, width: int = 48) -> np.ndarray:
    """Of length 1, around one direction, as CLIP's are."""
    random = np.random.default_rng(seed).normal(size=(count, width))
    random[:, 0] += 5 + shift
    return (random / np.linalg.norm(random, axis=1, keepdims=True)).astype(np.float32)


def by_pairs(made: np.ndarray, real: np.ndarray) -> float:
    """KID's definition, pair by pair, in 64 bits."""

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float((x.astype(np.float64) @ y.astype(np.float64) / len(x) + 1) ** 3)

    own = [np.mean([kernel(x, y) for x, y in combinations(rows, 2)]) for rows in (made, real)]
    return float(sum(own) - 2 * np.mean([kernel(x, y) for x, y in product(made, real)]))


def by_the_paper(made: np.ndarray, real: np.ndarray) -> float:
    """CMMD: 1000 times the squared MMD under a Gaussian kernel of bandwidth 10, pair by pair."""

    def mean_kernel(one: np.ndarray, other: np.ndarray) -> float:
        squared = cdist(one.astype(np.float64), other.astype(np.float64), "sqeuclidean")
        return float(np.exp(-squared / (2 * 10**2)).mean())

    return 1000 * (mean_kernel(made, made) + mean_kernel(real, real) - 2 * mean_kernel(made, real))


def test_1000_images_and_more_have_the_librarys_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """To 1e-6 and better: to the bit, of 15 of its 100 subsets."""
    assert DEFAULTS["kid_subsets"] == module.SUBSETS
    monkeypatch.setattr(module, "SUBSETS", 15)
    generated, reference = gaussian(1300, 32, 0, 0.1), gaussian(1000, 32, 1)
    found = kernel_distance(generated, reference)
    theirs = kid_features_to_metric(*map(torch.from_numpy, (generated, reference)), kid_subsets=15, verbose=False)
    assert (found.number, found.std) == (theirs[KEY_METRIC_KID_MEAN], theirs[KEY_METRIC_KID_STD])
    assert found.interval[0] < found.number < found.interval[1]


def test_fewer_images_have_the_mean_over_all_pairs() -> None:
    generated, reference = gaussian(23, 3, 0, 0.5), gaussian(31, 3, 1)
    found = kernel_distance(generated, reference)
    assert found.number == pytest.approx(by_pairs(generated, reference), rel=1e-5) and found.std is None


@pytest.mark.parametrize(("made", "real", "length"), [(23, 31, 1), (400, 250, 1), (4, 90, 1), (30, 30, 40)])
def test_cmmd_is_the_authors_formula(made: int, real: int, length: int) -> None:
    """Also of embeddings that are longer than 1."""
    sets = embeddings(made, 0, 2.0) * length, embeddings(real, 1) * length
    expected = by_the_paper(*sets)
    assert expected > 0.1
    assert gaussian_kernel_distance(*sets).number == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("distance", "definition", "sets"),
    [
        (kernel_distance, by_pairs, (gaussian(24, 3, 0, 0.5), gaussian(30, 3, 1))),
        (gaussian_kernel_distance, by_the_paper, (embeddings(24, 0, 1.0), embeddings(30, 1))),
    ],
    ids=["KID", "CMMD"],
)
def test_the_interval_is_from_distances_without_each_group(distance, definition, sets) -> None:
    """Each distance computed anew from the images that are left."""
    found = distance(*sets)
    low, high = found.interval or pytest.fail("no interval")
    assert (high - low) / 2 == pytest.approx(half_width(sets, definition), rel=1e-3)
    assert (high + low) / 2 == pytest.approx(found.number)


@pytest.mark.parametrize("distance", [kernel_distance, gaussian_kernel_distance])
def test_too_few_images_are_an_input_error(distance: Distance) -> None:
    with pytest.raises(InputError, match="kernel distance: needs at least 4 images a set, not 3"):
        distance(embeddings(3, 0), embeddings(30, 1))


@pytest.mark.parametrize(("subsets", "shift", "most"), [(False, 0.0, 1.0), (False, 0.4, 0.98), (True, 0.4, 0.98)])
def test_95_of_100_intervals_hold_the_true_distance(monkeypatch, subsets, shift, most) -> None:
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
    y = rng.normal(size=(100_000, width)) + other
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
