"""Content decides, not clocks: what runs again after which change, on copies of the tiny run."""

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from tiny_workflow import AFTER_DIFFUSION, AFTER_METRICS, TABLE2_ALONE, Workflow

pytestmark = pytest.mark.slow


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def with_own_networks(workflow: Workflow) -> Workflow:
    """Copied networks in place of the link, so that their clocks can be changed too."""
    link = workflow.folder / "results" / "networks"
    source = link.resolve()
    link.unlink()
    shutil.copytree(source, link)
    return workflow


def faster(config: dict[str, Any]) -> None:
    config["diffusions"]["main"]["training"]["learning_rate"] = 2e-3


def slower(config: dict[str, Any]) -> None:
    config["diffusions"]["main"]["training"]["learning_rate"] = 1e-3


def test_a_second_run_has_nothing_to_do_and_says_so_within_15_seconds(play: Workflow) -> None:
    second = play.run()
    assert second.nothing_to_do
    assert second.seconds < 15


def test_results_dated_in_the_future_are_read_like_others(play: Workflow) -> None:
    """Pulled from a machine whose clock is ahead: Snakemake would end each job that reads them with an error."""
    with_own_networks(play)
    remade = {path: path.read_bytes() for path in files(play.folder / "results" / "store" / "reconstructions")}
    ahead = time.time() + 10 * 365 * 24 * 3600
    for path in files(play.folder / "results"):
        os.utime(path, (ahead, ahead))
    for path in remade:
        path.unlink()
    for folder in play.folders("tables"):
        if folder.name.startswith("table4-"):
            shutil.rmtree(folder)
    assert play.run("table4").jobs == {"reconstruct": 3, "make_table": 1, "table4": 1}
    assert {path: path.read_bytes() for path in remade} == remade
    assert play.run("table4").nothing_to_do


def test_clocks_and_snakemakes_records_do_not_matter(play: Workflow) -> None:
    with_own_networks(play)
    for path in files(play.folder):
        path.touch()
    assert play.run().nothing_to_do, "after touch of every file"

    generator = random.Random(0)
    everything = files(play.folder)  # again: Snakemake takes away what a run left that the copy was made beside
    for path in everything:
        moment = 1.6e9 + generator.random() * 1e8
        os.utime(path, (moment, moment))
    assert play.run().nothing_to_do, "after shuffling all mtimes"

    shutil.rmtree(play.folder / ".snakemake")
    assert play.run().nothing_to_do, "after deleting .snakemake"

    for path in reversed(everything):
        if path.exists():
            path.touch()
    assert play.run("-n").nothing_to_do, "after all three"


def test_comments_docstrings_and_formatting_change_nothing(changeable: Workflow) -> None:
    for file in ("pipeline/models/bright.py", "pipeline/training/loop.py", "pipeline/data/prepare.py"):
        path = changeable.checkout / file
        text = path.read_text()
        start = text.index('"""') + 3
        path.write_text(text[:start] + "Another word. " + text[start:] + "\n\n# A remark.\n")
    assert changeable.run("-n").nothing_to_do


def test_a_changed_learning_rate_of_the_diffusion_model_reruns_what_stands_on_it(play: Workflow) -> None:
    play.configure(faster)
    assert play.run("-n").jobs == AFTER_DIFFUSION
    play.configure(slower)
    assert play.run("-n").nothing_to_do


def test_a_changed_line_in_a_metric_reruns_the_evaluation_and_its_tables(changeable: Workflow) -> None:
    path = changeable.checkout / "pipeline/evaluation/metrics.py"
    path.write_text(path.read_text() + "\n\nANOTHER_NUMBER = 1\n")
    assert changeable.run("-n").jobs == AFTER_METRICS


def test_a_changed_line_in_the_training_loop_reruns_both_trainings(changeable: Workflow) -> None:
    path = changeable.checkout / "pipeline/training/loop.py"
    path.write_text(path.read_text() + "\n\nANOTHER_NUMBER = 1\n")
    jobs = changeable.run("-n").jobs
    assert jobs["train_autoencoder"] == 2
    assert jobs["train_diffusion"] == 1
    assert "prepare_dataset" not in jobs
    assert "complexity" not in jobs


def test_results_count_again_once_a_harmless_change_is_accepted(changeable: Workflow) -> None:
    for module in ("evaluation/metrics.py", "training/loop.py", "data/prepare.py"):
        path = changeable.checkout / "pipeline" / module
        path.write_text(path.read_text() + "\n\nUNUSED_NUMBER = 1\n")
    assert {"prepare_dataset", "train_autoencoder", "score_features"} <= changeable.run("-n").jobs.keys()
    said = changeable.python("pipeline.commands.accept", "config.yaml").text
    assert "train_autoencoder: 2 of 2 results accepted" in said
    assert changeable.run("-n").nothing_to_do
    (changeable.folder / "results" / "accepted.json").unlink()
    assert "train_autoencoder" in changeable.run("-n").jobs


def test_pruning_keeps_what_the_config_uses(play: Workflow) -> None:
    stray = play.folder / "results" / "store" / "tables" / "table2-000000000000"
    stray.mkdir()
    assert str(stray.relative_to(play.folder)) in play.python("pipeline.commands.prune", "config.yaml").text
    play.python("pipeline.commands.prune", "config.yaml", "--yes")
    assert not stray.exists()
    assert play.run("-n").nothing_to_do


def test_results_follow_the_config_back_without_any_job(play: Workflow) -> None:
    table = play.folder / "results" / "tiny" / "tables" / "table2.md"
    before = table.read_bytes()

    def compare(config: dict[str, Any]) -> None:
        config["tables"]["table2"] = ["without-noise"]

    def back(config: dict[str, Any]) -> None:
        config["tables"]["table2"] = ["main"]

    play.configure(compare)
    rfid = {"extract_features": 1, "score_features": 1}
    assert play.run("table2").jobs == {**rfid, "make_table": 1, "table2": 1}
    assert table.read_bytes() != before
    play.configure(back)
    assert play.run().nothing_to_do
    assert table.read_bytes() == before


def test_with_only_the_trained_autoencoder_left_all_else_is_made_again_and_its_training_is_not(
    play: Workflow,
) -> None:
    results = play.folder / "results"
    # The one with an adversary is `main`, on which the codes stand.
    histories = [path / "autoencoder.history.csv" for path in play.folders("autoencoders")]
    (kept,) = (path.parent for path in histories if "adversarial" in path.read_text())
    weights = (kept / "autoencoder.safetensors").read_bytes()
    saved = play.folder / "saved"
    kept.rename(saved)
    for path in results.iterdir():
        if path.name != "networks":
            shutil.rmtree(path)
    shutil.rmtree(play.folder / ".snakemake")
    kept.parent.mkdir(parents=True)
    saved.rename(kept)

    plan = play.run("-n")
    assert plan.jobs["train_autoencoder"] == 1, "the other autoencoder alone"
    assert plan.jobs["prepare_dataset"] == 1
    assert plan.jobs["dump_codes"] == 2, "section 3.4 is measured on both"
    assert plan.jobs["train_diffusion"] == 1
    assert "Training autoencoders.without-noise" in plan.text and "Training autoencoders.main" not in plan.text

    assert play.run("table2").jobs == {"prepare_dataset": 1} | TABLE2_ALONE
    assert (kept / "autoencoder.safetensors").read_bytes() == weights
