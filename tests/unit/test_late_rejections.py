"""What a late stage rejects, the config or the doctor rejects before anything is trained."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from finished_plan import tiny_plan, tiny_values

from pipeline.base.errors import InputError
from pipeline.config.root import load_config
from pipeline.evaluation.feature_files import FeatureSet
from pipeline.evaluation.metrics import generation_metrics
from pipeline.models.metric_networks.spaces import NETWORKS
from pipeline.plan.checks import too_few_images
from pipeline.plan.shards import planned
from pipeline.settings.evaluation import FEWEST_IMAGES, NetworkName
from pipeline.stages import datasets
from pipeline.stages.common import Jobs
from pipeline.stages.evaluation import neighbours

pytestmark = pytest.mark.usefixtures("own_folder")


def with_counts(**counts: int) -> dict[str, Any]:
    values = tiny_values()
    for name, count in counts.items():
        values["samples"][name] |= {"count": count, "shard": count}
    return values


def test_neighbours_are_searched_for_as_many_images_as_there_are() -> None:
    values = with_counts(main=12) | {"tables": {"table5": {"rows": ["main"]}}, "evaluation": {}}
    jobs = Jobs(load_config(values))
    assert jobs(neighbours, "main").settings["count"] == 12


def test_sample_sets_of_one_table_have_equally_many_images() -> None:
    values = with_counts(main=12, gaussian=16)
    with pytest.raises(InputError, match=r"tables\.table5: main has 12 images and gaussian 16: "):
        load_config(values | {"tables": {"table5": {"rows": ["main", "gaussian"]}}})
    load_config(values | {"tables": {"table5": {"rows": ["main", "gaussian"], "count": 12}}})


@pytest.mark.parametrize("key", ["samples.main.count", "tables.table5.count", "evaluation.reference_count"])
def test_too_few_images_for_a_metric_are_rejected_by_the_key_that_gives_them(key: str) -> None:
    values = with_counts(main=5 if key.startswith("samples") else 16)
    values["tables"] = {"table5": {"rows": ["main"], "count": 5 if key.startswith("tables") else None}}
    values["evaluation"] = {"networks": ["vgg16", "clip"]}
    values["evaluation"]["reference_count"] = 5 if key.startswith("evaluation") else None
    with pytest.raises(InputError, match=rf"{key}: must be at least 6 for the metrics of"):
        load_config(values)


@pytest.mark.parametrize("network", FEWEST_IMAGES)
def test_a_network_takes_as_many_images_as_its_metrics(network: NetworkName) -> None:
    fewest, drawn = FEWEST_IMAGES[network], torch.randn(2, 16, 6, generator=torch.Generator().manual_seed(0)).numpy()

    def score(count: int) -> None:
        for space in (name for name, needed in NETWORKS.items() if needed == network):
            facts = {"space": space, "network": "any", "network_sha256": "any", "resize": "any"}
            sets = (FeatureSet(one[:count], one[:count], np.zeros((count, 32), np.uint8), facts) for one in drawn)
            generation_metrics(*sets)

    score(fewest)
    with pytest.raises(InputError, match=r"at least|more than"):
        score(fewest - 1)


def lines(monkeypatch: pytest.MonkeyPatch, images: int, change: Callable[[dict[str, Any]], object]) -> list[str]:
    """What a run is told where the collection has so many images."""
    values = tiny_values()
    change(values)
    jobs = tiny_plan(values)
    known = {"sha256": "0" * 64, "images": {"all": images}}
    monkeypatch.setattr(datasets, "raw_images", lambda jobs, name: known)
    monkeypatch.setattr("pipeline.plan.checks.raw_images", lambda jobs, name: known)
    return sorted(set(too_few_images(jobs(planned).values())))


def split(**keys: Any) -> Callable[[dict[str, Any]], object]:
    return lambda values: values["datasets"]["tiny"].update(split={"rule": "hash", **keys})


def test_splits_that_are_too_small_are_told_before_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, 300, split(validation=50)) == []
    told = lines(monkeypatch, 300, split(validation=5000))
    assert "datasets.tiny.split: 160 images leave none for train" in told
    told = lines(monkeypatch, 60, split(validation=2))
    assert "datasets.tiny.split: 2 validation images, where metrics of efficientnet_lite0 take 3" in told
