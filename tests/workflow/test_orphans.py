"""A run that is killed leaves no training behind, and the next one goes on alone."""

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from forkserver import REAL_PROCESSES
from tiny_workflow import Workflow

from pipeline.base.records import read_record

pytestmark = pytest.mark.slow


def longer(config: dict[str, Any]) -> None:
    config["diffusions"]["main"]["training"]["steps"] = 3000
    config["diffusions"]["main"]["execution"]["save_every_s"] = 0.2


def training(run: Workflow, work: Path) -> int:
    """The process that trains in a work folder, by its record."""
    digest = work.name.rpartition("-")[2]
    (record,) = (run.folder / "results" / "records").glob(f"train_diffusion-*{digest}.json")
    return int(read_record(record)["process"])


def test_a_training_ends_with_its_killed_run_and_the_next_run_goes_on_from_what_it_saved(play: Workflow) -> None:
    play.configure(longer)
    before = set((play.folder / "results" / "work").iterdir())
    command = [*play.local_command(), "--until", "train_diffusion"]
    environment = play.environment() | {REAL_PROCESSES: "1"}
    snakemake = subprocess.Popen(
        command, cwd=play.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 300
        found: list[Path] = []
        while not (found and (found[0] / "state.safetensors").exists()):
            assert snakemake.poll() is None and time.monotonic() < deadline
            found = [path for path in (play.folder / "results" / "work").iterdir() if path not in before]
            time.sleep(0.05)
        stage = psutil.Process(training(play, found[0]))
    finally:
        snakemake.send_signal(signal.SIGKILL)  # it alone: a group of processes is not what one kills by hand
        snakemake.wait()

    again = play.run("--unlock")
    again = play.run("--until", "train_diffusion")
    assert again.jobs == {"train_diffusion": 1}
    assert not stage.is_running()
    log = "".join(path.read_text() for path in (play.folder / "results" / "logs").glob("train_diffusion-*.log"))
    assert "SIGTERM: state saved at step" in log
    assert "resumed at step" in log
