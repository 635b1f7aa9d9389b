"""Precision, recall, density and coverage equal torch-fidelity's and the definitions at any tile size."""

import numpy as np
import pytest
import torch
from bright_pipeline.evaluation.precision_recall import f1, precision_recall, precision_recall_intervals
from feature_sets import gaussian
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from torch.utils._python_dispatch import TorchDispatchMode
from torch_fidelity.metric_prc import prc_features_to_metric

PROTOCOLS = ("torch_fidelity", "paper_repository")
HOW = {"prc_neighborhood": 3, "prc_batch_size": 10_000, "save_cpu_ram": False, "verbose": False}


class LargestTensor(TorchDispatchMode):
    """Records the size of every operation's result."""

    elements = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        found = operation(*args, **(kwargs or {}))
        for one in found if isinstance(found, tuple | list) else [found]:
            self.elements = max(self.elements, getattr(one, "shape", torch.Size()).numel())
        return found


def inside(points: np.ndarray, centres: np.ndarray, border: bool) -> float:
    """By the definition, from all distances in 64 bits; points on a sphere count only with `border`."""
    among, to = (cdist(x.astype(np.float64), centres.astype(np.float64)) for x in (centres, points))
    radius = np.sort(among, axis=1)[:, 3]  # the third neighbour; the point itself is the first
    return float(((to <= radius) if border else (to < radius)).any(axis=1).mean())


def density_coverage(generated: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """As equations 4 and 5 of Naeem et al. define them, k = 5, from all distances in 64 bits."""
    made, real = generated.astype(np.float64), reference.astype(np.float64)
    radius = np.sort(cdist(real, real), axis=1)[:, 5]  # the point itself is the first
    within = cdist(made, real) < radius
    return within.sum() / (5 * len(made)), float(within.any(axis=0).mean())


sets = st.tuples(st.integers(0, 1000), st.integers(6, 40), st.integers(6, 40), st.floats(0, 2))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@settings(max_examples=40)
@given(sets, st.integers(0, 5), st.floats(0, 100))
def test_both_protocols_equal_the_definition_exactly(protocol, drawn, copies, offset) -> None:
    """Also where images repeat, so that distances are zero, and far from the origin, where 32 bits are coarse."""
    seed, made, real, shift = drawn
    generated = gaussian(made, 3, seed, shift + offset)
    reference = gaussian(real, 3, seed + 1, offset)
    reference[:copies] = generated[:copies]
    generated[:copies] = generated[0]
    found, border = precision_recall(generated, reference, protocol), protocol == "torch_fidelity"
    assert found["precision"] == pytest.approx(inside(generated, reference, border))
    assert found["recall"] == pytest.approx(inside(reference, generated, border))
    assert found["f1"] == f1(found["precision"], found["recall"])
    assert (found["density"], found["coverage"]) == pytest.approx(density_coverage(generated, reference))


def test_a_point_on_a_sphere_is_inside_for_one_protocol_and_outside_for_the_other() -> None:
    """Reference points at 0, 1, 2, 3, far from four others: the outer balls reach three far, the inner ones two."""
    reference = np.array([[0.0], [1.0], [2.0], [3.0], [1000.0], [1001.0], [1002.0], [1003.0]], np.float32)
    generated = np.array([[-1.0], [-0.5], [4.0], [6.0], [20.0], [25.0]], np.float32)
    found = {protocol: precision_recall(generated, reference, protocol)["precision"] for protocol in PROTOCOLS}
    # -1, -0.5 and 4 lie inside the outer balls; 6 is on the sphere around 3.
    assert found == {"torch_fidelity": pytest.approx(4 / 6), "paper_repository": pytest.approx(3 / 6)}


@settings(max_examples=30)
@given(sets, st.sampled_from([3, 200]), st.integers(60, 99))
def test_the_librarys_protocol_equals_its_own_function(drawn, width, tile) -> None:
    """Except for one point on a sphere, which the library's 32-bit rounding may put on either side."""
    seed, made, real, shift = drawn
    generated, reference = gaussian(60 + made, width, seed, shift / 4), gaussian(60 + real, width, seed + 1)
    theirs = prc_features_to_metric(*map(torch.from_numpy, (generated, reference)), **HOW)
    found = precision_recall(generated, reference, "torch_fidelity", tile)
    assert found["precision"] == pytest.approx(theirs["precision"], abs=1.01 / len(generated))
    assert found["recall"] == pytest.approx(theirs["recall"], abs=1.01 / len(reference))
    if (found["precision"], found["recall"]) == (theirs["precision"], theirs["recall"]):
        assert found["f1"] == theirs["f_score"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_tiles_change_no_count_and_are_held_one_at_a_time(protocol: str) -> None:
    """Of 600 by 500 points, no operation returns more than a tile, or the features of a set."""
    generated, reference = gaussian(600, 8, 0, 0.2), gaussian(500, 8, 1)
    whole = precision_recall(generated, reference, protocol)
    assert 0 < whole["precision"] < 1 and 0 < whole["recall"] < 1
    for tile in (599, 128):
        assert precision_recall(generated, reference, protocol, tile) == whole
    with LargestTensor() as largest:
        assert precision_recall(generated, reference, protocol, 80) == whole
    assert 72 * 72 <= largest.elements <= 80 * 80


def values(precision: float, recall: float) -> dict[str, float]:
    """With these two, and any density and coverage."""
    density = {"density": 0.1, "density_std": 0.8, "coverage": recall}
    return {"precision": precision, "recall": recall, "f1": f1(precision, recall), **density}


@settings(max_examples=30)
@given(st.integers(0, 50), st.integers(0, 80))
def test_intervals_hold_their_values_and_stay_between_zero_and_one(inside_made: int, inside_real: int) -> None:
    precision, recall = inside_made / 50, inside_real / 80
    found = values(precision, recall)
    for metric, (low, high) in precision_recall_intervals(found, 50, 80).items():
        assert -1e-9 <= low <= found[metric] + 1e-9
        assert found[metric] - 1e-9 <= high
        assert high <= 1 + 1e-9 or metric == "density"


def test_intervals_of_known_shares_cover_them_in_95_of_100_cases() -> None:
    """Binomial counts of true shares 0.6 and 0.3: the three intervals, over 1,000 repetitions."""
    rng = np.random.default_rng(0)
    truth = {"precision": 0.6, "recall": 0.3, "f1": f1(0.6, 0.3)}
    covered = dict.fromkeys(truth, 0)
    for _ in range(1000):
        precision, recall = rng.binomial(400, 0.6) / 400, rng.binomial(300, 0.3) / 300
        intervals = precision_recall_intervals(values(precision, recall), 400, 300)
        for metric, true in truth.items():
            covered[metric] += intervals[metric][0] <= true <= intervals[metric][1]
    for count in covered.values():
        assert 0.93 < count / 1000 < 0.97


def test_95_of_100_intervals_cover_what_fixed_balls_hold() -> None:
    """Balls around 200 points of the plane; 300 sets of 150 points are drawn, of whose distribution they hold p."""
    centres = gaussian(200, 2, 0)
    radii = np.sort(cdist(centres, centres), axis=1)[:, [3, 5]].T
    distances = [cdist(part, centres) for part in np.split(gaussian(20_000, 2, 5000, 1.5), 10)]
    share = np.mean([(one <= radii[0]).any(axis=1).mean() for one in distances])
    truth = {
        "precision": share,
        "recall": share,
        "density": np.mean([(one < radii[1]).sum(1) / 5 for one in distances]),
    }
    assert 0.1 < share < 0.9 and truth["density"] > 0.1
    covered = dict.fromkeys(truth, 0)
    for seed in range(1, 301):
        drawn = gaussian(150, 2, seed, 1.5)
        for sets, metrics in (((drawn, centres), ("precision", "density")), ((centres, drawn), ("recall",))):
            found = precision_recall(*sets, "torch_fidelity")
            intervals = precision_recall_intervals(found, *(len(set_) for set_ in sets))
            for metric in metrics:
                covered[metric] += intervals[metric][0] <= truth[metric] <= intervals[metric][1]
    for metric, count in covered.items():
        assert 0.92 < count / 300 < 0.98, (metric, count)
