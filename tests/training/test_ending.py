"""A training whose images worker processes decode, asked to end, saves its state and resumes to equal bits.

Slurm sends SIGTERM to all processes of a job, and a terminal SIGINT: the workers hear it, too.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.engine.command import TERMINATED
from daemons import wait_for
from forkserver import REAL_PROCESSES

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
STEPS, READY = 120, 20
# The training of autoencoders, for which every collection is too large for the memory.
MODULE = f"""
import runpy, time
from pathlib import Path
import bright_pipeline.engine.command
from bright_pipeline.training import batches
from bright_pipeline.training.autoencoder import AutoencoderTask
batches.IN_MEMORY_BYTES, batches.own_cores = 0, lambda: 2
step = AutoencoderTask.step
def slow_step(task, number):
    if number == {READY}:
        Path("ready").touch()
    time.sleep(0.03)
    return step(task, number)
AutoencoderTask.step = slow_step
if __name__ == "__main__":
    runpy.run_module("bright_pipeline.train_autoencoder", run_name="__main__", alter_sys=True)
"""

Start = Callable[[str, int], subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path, tiny_images: Path, tiny_autoencoder: Any) -> Start:
    """Starts a training in a folder, in a process group of its own."""
    (tmp_path / "decoding.py").write_text(MODULE)
    settings = tiny_autoencoder(training={"images": 4 * STEPS}, execution={"save_every_s": 3600})
    (tmp_path / "settings.json").write_text(json.dumps({"autoencoder": settings, "initial_sha256": None, "seed": 0}))
    environment = os.environ | REAL_PROCESSES | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{REPOSITORY / 'pipeline'}"}
    files = {
        "images": tiny_images,
        "weights": "weights.safetensors",
        "history": "history.csv",
        "preview": "preview.png",
    }
    options = [f"--{name}={path}" for name, path in (files | {"work": "work"}).items()]

    def begun(folder: str, processes: int) -> subprocess.Popen[bytes]:
        (tmp_path / folder).mkdir(exist_ok=True)
        launcher = ["bright_pipeline.engine.launch", "--processes", str(processes), "--log", "log", "--", "decoding"]
        words = [sys.executable, "-m", *launcher, str(tmp_path / "settings.json"), *options]
        return subprocess.Popen(words, cwd=tmp_path / folder, env=environment, start_new_session=True)

    return begun


@pytest.mark.parametrize(
    ("processes", "number", "send"),
    [
        pytest.param(1, signal.SIGTERM, os.kill, id="the launcher"),
        pytest.param(1, signal.SIGTERM, os.killpg, id="every process"),
        pytest.param(1, signal.SIGINT, os.killpg, id="Ctrl-C"),
        pytest.param(2, signal.SIGTERM, os.killpg, id="every process of two"),
    ],
)
def test_a_training_saves_its_state_whatever_hears_the_request(
    tmp_path: Path, start: Start, processes: int, number: int, send: Callable[[int, int], None]
) -> None:
    assert start("undisturbed", processes).wait(300) == 0
    asked = start("asked", processes)
    wait_for(lambda: (tmp_path / "asked" / "ready").exists() or asked.poll() is not None, 120, "it did no step")
    send(asked.pid, number)
    assert asked.wait(120) == TERMINATED
    history = (tmp_path / "asked" / "work" / "history.csv").read_text().splitlines()
    assert READY <= int(history[-1].split(",")[0]) < STEPS, "it saved where it was"
    assert start("asked", processes).wait(300) == 0
    ended = [(tmp_path / folder / "weights.safetensors").read_bytes() for folder in ("undisturbed", "asked")]
    assert ended[0] == ended[1]
