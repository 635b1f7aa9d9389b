"""A run that is killed leaves no training behind, and the next run resumes it."""

import signal
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_workflow import Workflow

from pipeline.base.records import read_record

pytestmark = pytest.mark.slow


def longer(config: dict[str, Any]) -> None:
    config["diffusions"]["main"]["training"]["steps"] = 500
    config["diffusions"]["main"]["execution"]["save_every_s"] = 0.2


def record_of(run: Workflow, work: Path) -> dict[str, Any]:
    """The record of the job that trains in a work folder."""
    found = list(run.folder.glob(f"results/records/train_diffusion-*{work.name.rpartition('-')[2]}.json"))
    return read_record(found[0]) if found else {}


def test_a_training_ends_with_its_killed_run_and_the_next_run_resumes_it(play: Workflow) -> None:
    play.configure(longer)
    before = set((play.folder / "results" / "work").iterdir())
    snakemake = play.start("--until", "train_diffusion")
    try:
        deadline = time.monotonic() + 300
        found: list[Path] = []
        while not (found and (found[0] / "state.safetensors").exists() and "process" in record_of(play, found[0])):
            assert snakemake.poll() is None and time.monotonic() < deadline
            found = [path for path in (play.folder / "results" / "work").iterdir() if path not in before]
            time.sleep(0.05)
        stage = psutil.Process(record_of(play, found[0])["process"])
    finally:
        snakemake.send_signal(signal.SIGKILL)  # only Snakemake, not its group of processes
        snakemake.wait()

    psutil.wait_procs([stage], timeout=60)
    assert not stage.is_running()
    log = f"results/logs/train_diffusion-*{found[0].name.rpartition('-')[2]}.log"
    assert "asked to end: state saved at step" in play.text(log)
    play.run("--unlock")
    assert play.run("--until", "train_diffusion").jobs == {"train_diffusion": 1}
    assert "resumed at step" in play.text(log)
