"""Two numbers share a column only if they were measured alike."""

from collections.abc import Callable
from typing import Any

import pytest
from made_summaries import (
    ffhq,
    generation,
    reconstruction,
)

from pipeline.errors import InputError
from pipeline.tables.build import PUBLISHED, Table


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resize": "lanczos 112"}, "resize 'bicubic 112' and 'lanczos 112'"),
        ({"network_sha256": "e" * 64}, "network_sha256"),
        ({"reference_sha256": "f" * 64}, "reference_sha256"),
        ({"count": 500}, "count 1000 and 500"),
    ],
)
def test_two_protocols_in_one_column_stop(change: dict[str, Any], told: str, built: Callable[..., Table]) -> None:
    one, other = generation("a", "efficientnet_lite0"), generation("b", "efficientnet_lite0", protocol=change)
    with pytest.raises(InputError) as error:
        built("table5", one, other)
    assert told in str(error.value) and "'a' and 'b'" in str(error.value)
    assert "fashion_mnist" in str(error.value) and "\n" not in str(error.value)


def test_seeds_versions_and_datasets_may_differ_in_one_column(built: Callable[..., Table]) -> None:
    other_seed = generation("b", "efficientnet_lite0", protocol={"seed": 4, "versions": {"torch": "2.14"}})
    table = built("table5", generation("a", "efficientnet_lite0"), other_seed, ffhq("c", "efficientnet_lite0"))
    assert (table.frame["source"] != PUBLISHED).sum() == 3


def test_other_networks_hash_does_not_concern_a_metric(built: Callable[..., Table]) -> None:
    one, other = reconstruction("a"), reconstruction("b")
    other["protocol"] = {**other["protocol"], "lpips_vgg_sha256": "f" * 64}
    with pytest.raises(InputError, match=r"column LPIPS-VGG"):
        built("table2", one, other)
    del other["metrics"]["lpips_vgg"], one["metrics"]["lpips_vgg"]
    built("table2", one, {**other, "metrics": {**other["metrics"], "lpips_vgg": {"mean": 1.0, "std": 0.1}}})
