"""Lost files: only the missing file is made again, or one line says what it takes; nothing is trained for it."""

from typing import Any

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

SHARD = "results/store/samples/main-*/images-000016-000032.zip"


def test_weights_alone_are_a_trained_model(play: Workflow) -> None:
    for section in ("autoencoders", "diffusions"):
        for folder in play.folders(section):
            for path in folder.iterdir():
                if path.suffix != ".safetensors":
                    path.unlink()
    assert play.run("-n").nothing_to_do
    play.remove("results/store/reconstructions", "results/store/tables/table4-*")
    assert play.run("table4").jobs == {"reconstruct": 3, "make_table": 1, "table4": 1}


def test_a_lost_curve_is_named_by_the_run_that_needs_it_and_no_model_is_trained(play: Workflow) -> None:
    play.remove("results/store/autoencoders/*/autoencoder.history.csv", "results/store/figures/curves_autoencoders-*")
    said = play.run("figures", expect=1).text
    assert "error: autoencoders.main: autoencoder.history.csv is missing in results/store/autoencoders/" in said
    assert "dvc pull" in said
    assert "snakemake --forcerun train_autoencoder" in said
    assert play.run("table2").nothing_to_do


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
