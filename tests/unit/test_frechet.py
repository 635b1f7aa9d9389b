"""The Fréchet distance: each library's own, and an interval that covers what theory says it should."""

import numpy as np
import pytest
import scipy.linalg
from cleanfid.fid import frechet_distance as clean_fid_distance
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import ortho_group
from torch_fidelity.metric_fid import fid_statistics_to_metric

from pipeline.evaluation.frechet import frechet_distance

LIBRARIES = ("torch-fidelity", "clean-fid")


def gaussian(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) + shift).astype(np.float32)


def moments(set_: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return set_.astype(np.float64).mean(0), np.cov(set_.astype(np.float64), rowvar=False)


@pytest.mark.parametrize("library", LIBRARIES)
def test_it_equals_its_formula_with_a_matrix_square_root(library: str) -> None:
    one, two = gaussian(300, 12, 0), gaussian(200, 12, 1, shift=0.3) * 1.5
    means, covariances = zip(moments(one), moments(two), strict=True)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(one, two, library) == pytest.approx(expected, rel=1e-5)


def test_it_equals_each_librarys_function_of_the_same_features() -> None:
    one, two = np.maximum(gaussian(500, 40, 2), 0), np.maximum(gaussian(400, 40, 3, 0.2), 0)
    (mean_one, covariance_one), (mean_two, covariance_two) = moments(one), moments(two)
    of_clean_fid = clean_fid_distance(mean_one, covariance_one, mean_two, covariance_two)
    statistics = [{"mu": mean, "sigma": covariance} for mean, covariance in (moments(one), moments(two))]
    of_torch_fidelity = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    assert frechet_distance(one, two, "clean-fid") == pytest.approx(of_clean_fid, rel=1e-4)
    assert frechet_distance(one, two, "torch-fidelity") == pytest.approx(of_torch_fidelity, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(LIBRARIES), st.floats(-3, 3, width=32), st.integers(2, 8))
def test_of_a_shifted_set_it_is_the_squared_shift(library: str, shift: float, width: int) -> None:
    one = gaussian(64, width, 3)
    found = frechet_distance(one + np.float32(shift), one, library)
    assert found == pytest.approx(width * shift**2, rel=1e-3, abs=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(LIBRARIES), st.integers(0, 1000), st.integers(2, 8))
def test_order_rotation_and_sides_change_nothing(library: str, seed: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    sets = gaussian(90, width, seed), gaussian(70, width, seed + 1, 0.4) * 2
    rotation = ortho_group.rvs(width, random_state=seed)
    others = [rng.permutation((x @ rotation).astype(np.float32)) for x in reversed(sets)]
    assert frechet_distance(*others, library) == pytest.approx(frechet_distance(*sets, library), rel=1e-3)
