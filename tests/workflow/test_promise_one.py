"""Content decides, not clocks: what runs again after which change, on copies of the tiny run."""

import os
import random
import shutil
import time
from pathlib import Path

import pytest
from tiny_workflow import AFTER_DIFFUSION, AFTER_METRICS, TABLE2_ALONE, Workflow

pytestmark = pytest.mark.slow


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_clocks_and_snakemakes_records_do_not_matter(play: Workflow) -> None:
    second = play.run()
    assert second.nothing_to_do and second.seconds < 15
    play.with_own_networks()
    for path in files(play.folder):
        path.touch()
    assert play.run().nothing_to_do, "after touching every file"

    generator = random.Random(0)
    for path in files(play.folder):  # listed again: Snakemake removes files of an unfinished run
        moment = 1.6e9 + generator.random() * 1e8
        os.utime(path, (moment, moment))
    assert play.run().nothing_to_do, "after shuffling all mtimes"

    shutil.rmtree(play.folder / ".snakemake")
    assert play.run().nothing_to_do, "after deleting .snakemake"

    # As after a pull from a machine whose clock is ahead: Snakemake alone would end each job that reads them.
    remade = play.files("results/store/reconstructions")
    ahead = time.time() + 10 * 365 * 24 * 3600
    for path in files(play.folder / "results"):
        os.utime(path, (ahead, ahead))
    play.remove("results/store/reconstructions/*/*", "results/store/tables/table4-*")
    assert play.run("table4").jobs == {"reconstruct": 3, "make_table": 1, "table4": 1}
    assert play.files("results/store/reconstructions") == remade
    assert play.run("table4").nothing_to_do


def test_a_change_of_code_reruns_the_stages_that_use_it(changeable: Workflow) -> None:
    for file in ("pipeline/models/bright.py", "pipeline/training/loop.py", "pipeline/data/prepare.py"):
        path = changeable.checkout / file
        text = path.read_text()
        start = text.index('"""') + 3
        path.write_text(text[:start] + "Another word. " + text[start:] + "\n\n# A remark.\n")
    assert changeable.run("-n").nothing_to_do, "comments and docstrings"
    changeable.add_number("pipeline/evaluation/metrics.py")
    assert changeable.run("-n").jobs == AFTER_METRICS
    changeable.add_number("pipeline/training/loop.py")
    jobs = changeable.run("-n").jobs
    assert (jobs["train_autoencoder"], jobs["train_diffusion"]) == (2, 1)
    assert not jobs.keys() & {"prepare_dataset", "complexity"}


def test_a_changed_key_reruns_what_depends_on_it_and_changed_back_nothing(play: Workflow) -> None:
    table = play.folder / "results/tiny/tables/table2.md"
    before = table.read_bytes()

    def set_to(rate: float, rows: list[str]) -> None:
        def change(config: dict) -> None:
            config["diffusions"]["main"]["training"]["learning_rate"] = rate
            config["tables"]["table2"] = rows

        play.configure(change)

    set_to(2e-3, ["main"])
    assert play.run("-n").jobs == AFTER_DIFFUSION
    set_to(1e-3, ["without-noise"])
    rfid = {"extract_features": 1, "score_features": 1}
    assert play.run("table2").jobs == {**rfid, "make_table": 1, "table2": 1}
    assert table.read_bytes() != before
    set_to(1e-3, ["main"])
    assert play.run().nothing_to_do
    assert table.read_bytes() == before


def test_all_but_a_trained_autoencoder_is_made_again_without_its_training(play: Workflow) -> None:
    results = play.folder / "results"
    kept = play.path("results/store/autoencoders/main-*")
    weights = (kept / "autoencoder.safetensors").read_bytes()
    kept.rename(play.folder / "saved")
    for path in results.iterdir():
        if path.name != "networks":
            shutil.rmtree(path)
    shutil.rmtree(play.folder / ".snakemake")
    kept.parent.mkdir(parents=True)
    (play.folder / "saved").rename(kept)

    plan = play.run("-n")
    assert plan.jobs["train_autoencoder"] == 1, "the other autoencoder alone"
    assert plan.jobs["prepare_dataset"] == 1
    assert plan.jobs["dump_codes"] == 2, "section 3.4 is measured on both"
    assert plan.jobs["train_diffusion"] == 1
    assert "Training autoencoders.without-noise" in plan.text and "Training autoencoders.main" not in plan.text

    assert play.run("table2").jobs == {"prepare_dataset": 1} | TABLE2_ALONE
    assert (kept / "autoencoder.safetensors").read_bytes() == weights
