"""Metrics of generation equal independent formulas, stay within their memory and carry their protocol."""

import json
import tracemalloc
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.evaluation.feature_files import FeatureSet, read_features, write_features
from bright_pipeline.evaluation.frechet import frechet_distance
from bright_pipeline.evaluation.metrics import METRICS, generation_metrics, metric_settings, score
from bright_pipeline.models.metric_networks import networks
from bright_pipeline.score_features import score_features
from bright_pipeline.settings.spaces import FEWEST_IMAGES, SPACES
from feature_sets import gaussian
from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric


def features_of(count: int, seed: int, space: str = "efficientnet_lite0", **facts: object) -> FeatureSet:
    told = {"space": space, "network": SPACES[space].network, "network_sha256": "weights", "resize": "as is"}
    digests = np.random.default_rng(seed).integers(0, 256, (count, 32), np.uint8)
    return FeatureSet(gaussian(count, 16, seed), gaussian(count, 5, seed + 1), digests, told | facts)


def test_score_equals_its_formula_over_shuffled_splits_and_the_librarys_bits() -> None:
    """With Student's interval of the mean over the splits."""
    logits = gaussian(103, 9, 5) * 2
    order = np.random.RandomState(2020).permutation(103)
    shifted = logits[order].astype(np.float64)
    p = np.exp(shifted) / np.exp(shifted).sum(1, keepdims=True)
    values = []
    for i in range(10):
        part = p[i * 103 // 10 : (i + 1) * 103 // 10]
        values.append(np.exp((part * np.log(part / part.mean(0))).sum(1).mean()))
    found = score(logits)
    assert (found.number, found.std) == pytest.approx((np.mean(values), np.std(values)), rel=1e-6)
    assert found.interval == pytest.approx(
        scipy.stats.t.interval(0.95, 9, np.mean(values), scipy.stats.sem(values)), rel=1e-6
    )
    of_library = isc_features_to_metric(torch.from_numpy(logits), 10, True, 2020)
    assert (found.number, found.std) == (of_library[KEY_METRIC_ISC_MEAN], of_library[KEY_METRIC_ISC_STD])


BY_NEIGHBOURS = {"precision", "recall", "f1", "density", "coverage"}
NAMES = {"score": {"score_mean"}, "precision_recall": BY_NEIGHBOURS}  # of a metric's values, else its own


def test_each_space_has_a_builder_and_known_metrics() -> None:
    assert METRICS.keys() == FEWEST_IMAGES.keys()
    for space in SPACES.values():
        assert space.metrics.keys() <= METRICS.keys() and callable(getattr(networks, space.name)), space.name


@pytest.mark.parametrize("space", SPACES)
def test_each_space_has_its_own_metrics_with_intervals(space: str) -> None:
    found = generation_metrics(features_of(30, 0, space), features_of(40, 5, space))
    assert found.keys() == set().union(*(NAMES.get(metric, {metric}) for metric in SPACES[space].metrics))
    for metric, value in found.items():
        low, high = value.interval or pytest.fail(f"{metric} has no interval")
        assert low <= value.number <= high
        assert low >= 0 or metric.endswith("kernel_distance")
        assert low < high
        assert (value.std is not None) == (metric in ("score_mean", "density"))


def test_some_of_a_spaces_metrics_can_be_computed_alone() -> None:
    sets = features_of(30, 0), features_of(40, 5)
    whole, part = generation_metrics(*sets), generation_metrics(*sets, only=("frechet_distance",))
    assert part == {"frechet_distance": whole["frechet_distance"]}
    assert metric_settings("efficientnet_lite0", ("frechet_distance",)) == {
        "frechet_distance": "torch-fidelity",
        "frechet_distance_interval": "95%, jackknife over 20 groups of either set",
    }
    ways = {metric_settings(space)["precision_recall"] for space in ("vgg16", "vgg16_paper")}
    assert ways == {"torch_fidelity", "paper_repository"}


def test_the_first_so_many_images_can_be_scored_alone() -> None:
    whole = features_of(40, 0)
    part = whole.first(25)
    assert len(part) == len(part.image_digests) == 25
    assert part.images_sha256 != whole.images_sha256
    assert part.logits is not None and len(part.logits) == 25
    np.testing.assert_array_equal(part.features, whole.features[:25])
    assert whole.first(None) is whole


@pytest.mark.parametrize(
    ("key", "value"), [("space", "vgg16"), ("network", "vgg16"), ("network_sha256", "other"), ("resize", "otherwise")]
)
def test_features_that_were_taken_differently_are_refused(key: str, value: str) -> None:
    with pytest.raises(InputError, match=f"features: {key} of the generated images"):
        generation_metrics(features_of(30, 0), features_of(30, 1, **{key: value}))


def test_too_few_images_are_an_input_error() -> None:
    with pytest.raises(InputError, match="at least 10 images"):
        score(gaussian(9, 4, 0))
    with pytest.raises(InputError, match="need more than 5 images a set, not 5"):
        generation_metrics(features_of(5, 0, "vgg16"), features_of(30, 1, "vgg16"))
    with pytest.raises(InputError, match="at least 3 images a set, not 2"):
        generation_metrics(features_of(30, 0, "clip"), features_of(2, 1, "clip"))


def same(one: FeatureSet, two: FeatureSet) -> bool:
    assert one.logits is not None and two.logits is not None
    pairs = ((one.features, two.features), (one.logits, two.logits), (one.image_digests, two.image_digests))
    return one.facts == two.facts and all(a.tobytes() == b.tobytes() for a, b in pairs)


def part_of(whole: FeatureSet, first: int, last: int) -> FeatureSet:
    assert whole.logits is not None
    arrays = (array[first:last] for array in (whole.features, whole.logits, whole.image_digests))
    return FeatureSet(*arrays, whole.facts)


def written(folder: Path, whole: FeatureSet, *bounds: int) -> list[Path]:
    """Files of a set's consecutive ranges, named after them."""
    for first, last in pairwise(bounds):
        write_features(folder / f"{first}-{last}.npz", part_of(whole, first, last), first)
    return [folder / f"{first}-{last}.npz" for first, last in pairwise(bounds)]


def test_ranges_of_a_set_join_to_the_set_and_nothing_else_does(tmp_path: Path) -> None:
    whole = features_of(11, 0)
    paths = written(tmp_path, whole, 0, 4, 8, 11, 11)  # the last range is empty: its images were skipped
    assert same(read_features(paths), whole)
    assert read_features(paths[:2]).images_sha256 == whole.first(8).images_sha256
    with pytest.raises(InputError, match=r"8-11\.npz: starts at image 8, should start at 4"):
        read_features([paths[0], paths[2]])
    write_features(paths[1], replace(part_of(whole, 4, 8), facts={"space": "clip"}), 4)
    with pytest.raises(InputError, match=r"4-8\.npz: its facts differ from those of"):
        read_features(paths)
    np.savez(tmp_path / "b.npz", features=np.array([{}], dtype=object))
    with pytest.raises(InputError, match=r"b\.npz: not a file of"):
        read_features([tmp_path / "b.npz"])


def test_a_set_is_held_once_while_its_files_are_read(tmp_path: Path) -> None:
    """The peak leaves room for some of the set's ten files, not for all."""
    narrow = features_of(2000, 0)
    whole = replace(narrow, features=gaussian(2000, 600, 0))
    paths = written(tmp_path, whole, *range(0, 2001, 200))
    tracemalloc.start()
    found = read_features(paths)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert same(found, whole)
    assert whole.features.nbytes < peak < 1.5 * whole.features.nbytes


TRAITS = {"sample_kind": "diffusion", "method": "BRIGHT (LDM)", "prepared": "center crop, Pillow box, to 256"}
JOB = TRAITS | {"space": "efficientnet_lite0", "reference": "validation", "seed": 3}


def scored(folder: Path, made: FeatureSet, real: FeatureSet, **changes: Any) -> dict[str, Any]:
    """The summary that the stage writes."""
    for name, found in (("made", made), ("real", real)):
        write_features(folder / f"{name}.npz", found)
    score_features(json.dumps(JOB | changes), [folder / "made.npz"], [folder / "real.npz"], folder / "summary.json")
    return dict(json.loads((folder / "summary.json").read_text()))


def test_the_summary_carries_its_protocol(tmp_path: Path) -> None:
    summary = scored(tmp_path, features_of(30, 0), features_of(40, 1), code_size="8x8x4")
    assert summary["kind"] == "generation"
    assert summary["traits"] == TRAITS | {"code_size": "8x8x4"}
    protocol, *others = (value["protocol"] for value in summary["values"].values())
    assert all(other == protocol for other in others)
    expected: dict[str, Any] = {"count": 30, "reference": "validation", "reference_count": 40, "seed": 3}
    expected |= {"reference_sha256": features_of(40, 1).images_sha256, "reference_prepared": TRAITS["prepared"]}
    expected |= {"space": "efficientnet_lite0", "network": "efficientnet_lite0", "network_sha256": "weights"}
    expected |= {"resize": "as is", "neighbourhood": 3, "density_coverage_neighbourhood": 5, "score_splits": 10}
    assert {key: protocol[key] for key in expected} == expected
    libraries = {"torch", "torchvision", "torch-fidelity", "clean-fid", "numpy", "pillow", "scipy"}
    assert protocol["versions"].keys() == libraries
    assert scored(tmp_path, features_of(30, 0), features_of(40, 1), code_size="8x8x4") == summary


def test_reconstructions_are_scored_by_their_distance_alone(tmp_path: Path) -> None:
    made, real = features_of(30, 0), features_of(30, 1)
    change = {"kind": "reconstruction_distance", "sample_kind": "reconstruction", "method": "BRIGHT"}
    summary = scored(tmp_path, made, real, **change)
    assert summary["kind"] == "reconstruction_distance"
    distance = frechet_distance(made.features, real.features, "torch-fidelity")
    ((name, value),) = summary["values"].items()
    assert (name, value["number"]) == ("rfid.efficientnet_lite0.frechet_distance", distance)
    assert len(value["interval"]) == 2 and "neighbourhood" not in value["protocol"]


@pytest.mark.parametrize(("key", "value"), [("count", 50), ("reference_count", 50), ("space", "vgg16")])
def test_features_other_than_the_settings_say_are_refused(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"settings: {key}: "):
        scored(tmp_path, features_of(30, 0), features_of(30, 0), **{key: value})
