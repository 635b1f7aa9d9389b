"""A lost shard is made again alone, or one line says what it takes; new names rerun only what prints them."""

from typing import Any

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

SHARD = "results/store/samples/main-*/images-000016-000032.zip"


def test_a_lost_shard_is_made_from_its_model_or_says_that_it_needs_it(play: Workflow) -> None:
    before = play.files(SHARD)
    play.remove(SHARD)
    assert play.run().jobs == {"generate": 1}
    assert play.files(SHARD) == before
    play.remove(SHARD, "results/store/diffusions")
    said = play.run(expect=1).text
    assert "error: samples.main: images-000016-000032.zip is missing in results/store/samples/main-" in said
    needed = "making it takes diffusions.main, which is not here: restore it (dvc pull results/store/diffusions/"
    assert needed in said
    assert play.run("-n", "--forcerun", "train_diffusion").jobs["train_diffusion"] == 1


def test_a_renamed_dataset_and_run_rerun_only_what_prints_the_names(play: Workflow) -> None:
    def rename(config: dict[str, Any]) -> None:
        config["datasets"] = {"clothes": config["datasets"]["tiny"]}
        config["autoencoders"]["main"]["dataset"] = "clothes"
        config["samples"]["real"]["dataset"] = "clothes"

    play.configure(rename)
    assert set(play.run("-n").jobs) <= {"make_table", "make_report"}
    play.configure(lambda config: config.update(run="again"))
    assert set(play.run().jobs) <= {"make_table", "make_report"}
