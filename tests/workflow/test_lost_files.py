"""Files that are lost: what is missing alone is made again, or it is said what it takes; never a training."""

import shutil
from typing import Any

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow


def test_weights_alone_are_a_trained_model(play: Workflow) -> None:
    for section in ("autoencoders", "diffusions"):
        for folder in play.folders(section):
            for path in folder.iterdir():
                if path.suffix != ".safetensors":
                    path.unlink()
    assert play.run("-n").nothing_to_do
    shutil.rmtree(play.folder / "results" / "store" / "reconstructions")
    for folder in play.folders("tables"):
        if folder.name.startswith("table4-"):
            shutil.rmtree(folder)
    assert play.run("table4").jobs == {"reconstruct": 3, "make_table": 1, "table4": 1}


def test_a_lost_curve_is_named_by_the_run_that_needs_it_and_no_model_is_trained(play: Workflow) -> None:
    for folder in play.folders("autoencoders"):
        (folder / "autoencoder.history.csv").unlink()
    for folder in play.folders("figures"):
        if folder.name.startswith("curves_autoencoders-"):
            shutil.rmtree(folder)
    said = play.run("figures", expect=1).text
    assert "error: autoencoders.main: autoencoder.history.csv is missing in results/store/autoencoders/" in said
    assert "dvc pull" in said
    assert "snakemake --forcerun train_autoencoder" in said
    assert play.run("table2").nothing_to_do


def test_a_lost_shard_is_made_alone_while_its_model_is_there(play: Workflow) -> None:
    (folder,) = (path for path in play.folders("samples") if path.name.startswith("main-"))
    lost = folder / "images-000016-000032.zip"
    before = lost.read_bytes()
    lost.unlink()
    assert play.run().jobs == {"generate": 1}
    assert lost.read_bytes() == before


def test_a_lost_shard_without_its_model_says_what_it_takes(play: Workflow) -> None:
    (folder,) = (path for path in play.folders("samples") if path.name.startswith("main-"))
    (folder / "images-000016-000032.zip").unlink()
    shutil.rmtree(play.folder / "results" / "store" / "diffusions")
    said = play.run(expect=1).text
    assert "error: samples.main: images-000016-000032.zip is missing in results/store/samples/main-" in said
    assert (
        "making it takes diffusions.main, which is not here: bring it back (dvc pull results/store/diffusions/" in said
    )
    assert play.run("-n", "--forcerun", "train_diffusion").jobs["train_diffusion"] == 1


def test_names_are_names(play: Workflow) -> None:
    def rename(config: dict[str, Any]) -> None:
        config["datasets"] = {"clothes": config["datasets"]["tiny"]}
        config["autoencoders"]["main"]["dataset"] = "clothes"
        config["samples"]["real"]["dataset"] = "clothes"

    play.configure(rename)
    assert set(play.run("-n").jobs) <= {"make_table", "make_report"}, "what prints the name"

    def restart(config: dict[str, Any]) -> None:
        config["run"] = "again"

    play.configure(restart)
    assert set(play.run().jobs) <= {"make_table", "make_report"}
    assert (play.folder / "results" / "again" / "tables" / "table2.md").exists()


def test_a_smaller_micro_batch_for_a_full_gpu_trains_nothing(play: Workflow) -> None:
    def smaller(config: dict[str, Any]) -> None:
        config["evaluation"]["micro_batch"] = 8

    play.configure(smaller)
    jobs = play.run("-n").jobs
    assert {"reconstruct", "extract_features"} <= jobs.keys()
    assert not {"train_autoencoder", "train_diffusion", "dump_codes", "generate"} & jobs.keys()


def test_two_configs_of_one_run_name_stop_with_a_line(play: Workflow) -> None:
    shutil.copy(play.folder / "config.yaml", play.folder / "other.yaml")
    said = play.run("-n", "--configfile", "other.yaml", expect=1).text
    assert "error: run: results/tiny is the run of config.yaml, not of other.yaml" in said
