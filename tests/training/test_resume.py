"""A training that is killed at any moment and started again ends with the same bits (promise 2).

By SIGKILL, with real processes; test_tasks.py interrupts the trainings of all families inside this process.
"""

import json
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from daemons import wait_for
from forkserver import REAL_PROCESSES, commands
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
KILLS = 3 if os.environ.get("SOAK_RUNS") else 2
OUTPUTS = ("weights", "history", "preview")
SAVE_EVERY_S = 0.05


class Stage:
    """An autoencoder's training with its files in one folder, run by a fork if it is not to be killed."""

    def __init__(self, folder: Path, settings: dict[str, Any], **inputs: Path):
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "pipeline")}
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(settings))
        self.outputs = {name: folder / f"{name}.{'safetensors' if name == 'weights' else name}" for name in OUTPUTS}
        self.outputs["preview"] = folder / "preview.png"
        options = inputs | self.outputs | {"work": folder / "work", "log": folder / "log"}
        arguments = [f"--{name.replace('_', '-')}={path}" for name, path in options.items()]
        module = ["-m", "bright_pipeline.train_autoencoder", str(folder / "settings.json")]
        self.command = [str(commands() / "python"), *module, *arguments]

    def finish(self) -> dict[str, torch.Tensor]:
        subprocess.run(self.command, env=self.environment, check=True, timeout=600, stderr=subprocess.DEVNULL)
        return load_file(self.outputs["weights"])

    def kill(self, step: int, seconds: float) -> None:
        """SIGKILL `seconds` after the first state that this process saved, at `step` or later."""
        step = max(step, self.saved_step() + 1)  # the last kill may have been later than planned
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(self.command, env=self.environment | REAL_PROCESSES, **streams)
        wait_for(lambda: self.saved_step() >= step or process.poll() is not None, 300, "it saved no state")
        time.sleep(seconds)
        process.kill()
        process.communicate()  # a fork may still have its output open
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed: give it more steps"
        assert not any(path.exists() for path in self.outputs.values())

    def saved_step(self) -> int:
        """The last step of the history, which is saved just before the state; 0 before the first state."""
        work = self.folder / "work"
        if not (work / "state.safetensors").exists():
            return 0
        return int((work / "history.csv").read_text().splitlines()[-1].split(",")[0])


def test_a_killed_autoencoder_ends_with_the_same_bits(tmp_path, tiny_images, tiny_autoencoder, networks_folder):
    """With a perceptual network, a late adversary, an EMA, flips and the noise of section 3.4.

    Snapshots and metrics on validation images are the same, too.
    """
    steps, lpips = 100, networks_folder / "lpips_alex.safetensors"
    settings = tiny_autoencoder(
        losses={"perceptual": {"network": "lpips_alex"}, "adversarial": {"start_images": 80, "critic_only_images": 80}},
        training={"images": 4 * steps, "flip": True, "decay": "cosine", "ema_half_life_images": 50},
        execution={"save_every_s": SAVE_EVERY_S, "validate_every": 10, "keep_every": 20},
    )
    inputs = {"images": tiny_images, "perceptual": lpips, "validation": tiny_images, "lpips_alex": lpips}
    job = {"autoencoder": settings, "seed": 3}
    whole, killed = stages = [Stage(tmp_path / name, job, **inputs) for name in ("whole", "killed")]
    weights = whole.finish()
    moments = random.Random()
    for kill in range(KILLS):
        first = kill * steps // (KILLS + 1)
        killed.kill(moments.randint(first + 1, first + 4 * steps // 5 // (KILLS + 1)), moments.uniform(0, 0.1))
    resumed = killed.finish()
    assert all(torch.equal(resumed[name], weight) for name, weight in weights.items())
    resumed_at = [int(step) for step in re.findall(r"resumed at step (\d+)", (killed.folder / "log").read_text())]
    print(f"resumed at steps {resumed_at} of {steps}")
    assert len(resumed_at) == KILLS and resumed_at == sorted(resumed_at) and resumed_at[0] > 0
    assert killed.outputs["preview"].read_bytes() == whole.outputs["preview"].read_bytes()
    expected, found = (pd.read_csv(stage.outputs["history"], dtype=str).drop(columns="seconds") for stage in stages)
    assert found.equals(expected)
    assert expected["step"].tolist() == [str(step) for step in range(1, steps + 1)]
    assert expected["step"][expected["validation_psnr"].notna()].tolist() == [str(step) for step in range(10, 101, 10)]
    names = [f"{step:08d}.safetensors" for step in range(20, 101, 20)]
    snapshots = [stage.folder / "work" / "snapshots" for stage in stages]
    for folder in snapshots:
        assert sorted(path.name for path in folder.glob("*.safetensors")) == names
    for name in names:
        one, other = (load_file(folder / name) for folder in snapshots)
        assert all(torch.equal(other[key], one[key]) for key in one)
    assert all(torch.equal(one[key], weight) for key, weight in weights.items()), "the last snapshot"
