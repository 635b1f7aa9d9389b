"""Trainings killed at any moment and started again end with the same bits (promise 2)."""

import csv
import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forkserver import REAL_PROCESSES, commands
from safetensors.torch import load_file

from pipeline.families.vqgan import VQGAN
from pipeline.models.checkpoints import make_autoencoder, save_autoencoder, write_codes
from pipeline.settings.autoencoder import Autoencoder

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
KILLS = 3 if os.environ.get("SOAK_RUNS") else 1  # of each training but BRIGHT's, which is killed twice at least
OUTPUTS = ("weights", "history", "preview")
SAVE_EVERY_S = 0.05


class Stage:
    """A training command with its files in one folder; what runs it is a fork where nothing else is asked for."""

    def __init__(self, folder: Path, module: str, settings: dict[str, Any], **inputs: Path):
        self.folder = folder
        self.environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
        folder.mkdir()
        (folder / "settings.json").write_text(json.dumps(settings))
        self.outputs = {name: folder / f"{name}.{'safetensors' if name == 'weights' else name}" for name in OUTPUTS}
        self.outputs["preview"] = folder / "preview.png"
        options = inputs | self.outputs | {"work": folder / "work", "log": folder / "log"}
        arguments = [f"--{name.replace('_', '-')}={path}" for name, path in options.items()]
        self.command = [str(commands() / "python"), "-m", module, str(folder / "settings.json"), *arguments]

    def start(self, **environment: str) -> subprocess.Popen[bytes]:
        variables = self.environment | environment
        return subprocess.Popen(self.command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def finish(self) -> dict[str, torch.Tensor]:
        subprocess.run(self.command, env=self.environment, check=True, timeout=600, stderr=subprocess.DEVNULL)
        return load_file(self.outputs["weights"])

    def kill(self, step: int, seconds: float) -> None:
        """SIGKILL `seconds` after the first state that this process saved, at `step` or later."""
        step = max(step, self.saved_step() + 1)  # the last one may have been killed later than planned
        process = self.start(**REAL_PROCESSES)
        try:
            until = time.monotonic() + 300  # of a machine with much else to do
            while self.saved_step() < step:
                assert process.poll() is None, "it ended before it could be killed: give it more steps"
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        finally:
            process.kill()
            process.communicate()  # its output is closed with its last writer, which may be a fork
        assert process.returncode == -signal.SIGKILL, "it ended before it could be killed: give it more steps"
        assert not any(path.exists() for path in self.outputs.values())

    def saved_step(self) -> int:
        """The history is saved just before the state; before the first state there is nothing to go on from."""
        work = self.folder / "work"
        return logged_steps(work / "history.csv")[-1] if (work / "state.safetensors").exists() else 0

    def resumed_at(self) -> list[int]:
        lines = [line for line in (self.folder / "log").read_text().splitlines() if "resumed at step" in line]
        return [int(line.split("resumed at step ")[1].split()[0]) for line in lines]


def logged_steps(history: Path) -> list[int]:
    return [int(line.split(",")[0]) for line in history.read_text().splitlines()[1:]]


def numbers(history: Path) -> list[dict[str, str]]:
    """The rows without their times."""
    with history.open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def check_resume(uninterrupted: Stage, killed: Stage, steps: int, kills: int = KILLS) -> None:
    """What is killed is a process of its own, from its first line; those that nothing happens to may be forks."""
    expected = uninterrupted.finish()
    moments = random.Random()
    for kill in range(kills):
        first = kill * steps // (kills + 1)
        killed.kill(moments.randint(first + 1, first + 4 * steps // 5 // (kills + 1)), moments.uniform(0, 0.1))
    found = killed.finish()
    resumed_at = killed.resumed_at()
    print(f"resumed at steps {resumed_at} of {steps}")
    assert len(resumed_at) == kills
    assert resumed_at == sorted(resumed_at)
    assert resumed_at[0] > 0
    assert found.keys() == expected.keys()
    different = [name for name in expected if not torch.equal(found[name], expected[name])]
    assert different == []
    for stage in (uninterrupted, killed):
        assert logged_steps(stage.outputs["history"]) == list(range(1, steps + 1))
    assert killed.outputs["preview"].read_bytes() == uninterrupted.outputs["preview"].read_bytes()


def test_an_autoencoder_killed_again_and_again_ends_with_the_same_bits(
    tmp_path: Path, tiny_images: Path, tiny_autoencoder: Any, networks_folder: Path
) -> None:
    """With a perceptual network, an adversary that joins late, averages, flips and the noise of section 3.4.

    Snapshots and what is measured on validation images on the way are the same too.
    """
    steps, lpips = 100, networks_folder / "lpips_alex.safetensors"
    settings = tiny_autoencoder(
        losses={"perceptual": {"network": "lpips_alex"}, "adversarial": {"start_images": 80, "critic_only_images": 80}},
        training={"images": 4 * steps, "flip": True, "decay": "cosine", "ema_half_life_images": 50},
        execution={"save_every_s": SAVE_EVERY_S, "validate_every": 10, "keep_every": 20},
    )
    inputs = {"images": tiny_images, "perceptual": lpips, "validation": tiny_images, "lpips_alex": lpips}
    job = {"autoencoder": settings, "seed": 3}
    whole, killed = (
        Stage(tmp_path / name, "pipeline.train_autoencoder", job, **inputs) for name in ("whole", "killed")
    )
    check_resume(whole, killed, steps=steps, kills=max(KILLS, 2))
    found, expected = (numbers(stage.outputs["history"]) for stage in (killed, whole))
    assert found == expected
    assert [row["step"] for row in expected if row["validation_psnr"]] == [str(step) for step in range(10, 101, 10)]
    names = [f"{step:08d}.safetensors" for step in range(20, 101, 20)]
    for stage in (whole, killed):
        assert sorted(path.name for path in (stage.folder / "work" / "snapshots").glob("*.safetensors")) == names
    for name in names:
        one, other = (load_file(stage.folder / "work" / "snapshots" / name) for stage in (whole, killed))
        assert all(torch.equal(other[key], one[key]) for key in one)
    last = load_file(whole.folder / "work" / "snapshots" / names[-1])
    assert all(torch.equal(last[key], one) for key, one in load_file(whole.outputs["weights"]).items())


FIRST_STAGE: dict[str, Any] = {
    "dataset": "any",
    "code_size": "4x4x4",
    "network": {"channels": 8, "multipliers": [1, 1, 1, 1], "blocks": 1, "attention_resolutions": [4]},
    "discriminator": {"channels": 8, "layers": 2},
    "losses": {"perceptual": {"network": "none"}, "adversarial": {"start_images": 80, "critic_only_images": 80}},
    "execution": {"log_every": 1, "previews": 2, "save_every_s": SAVE_EVERY_S},
}


@pytest.mark.parametrize(
    ("family", "codebook"),
    [
        ("vqgan", {"codebook": {"entries": 32, "restart_after_images": 20}}),
        ("rqvae", {"codebook": {"entries": 32, "depth": 2, "restart_below": 1.0}}),
        ("kl", {}),
    ],
)
def test_an_autoencoder_of_each_other_family_killed_ends_with_the_same_bits(
    tmp_path: Path, tiny_images: Path, family: str, codebook: dict[str, Any]
) -> None:
    """With restarts of codebook entries all the way, averages, flips and the adaptive adversary."""
    steps = 100
    training = {"images": 4 * steps, "batch": 4, "learning_rate": 1e-3, "flip": True, "ema_half_life_images": 50}
    settings = FIRST_STAGE | {"family": family, "training": training} | codebook
    job = {"autoencoder": settings, "seed": 3}
    inputs = {"images": tiny_images}
    stages = [Stage(tmp_path / name, "pipeline.train_autoencoder", job, **inputs) for name in ("whole", "killed")]
    check_resume(*stages, steps=steps)


@pytest.mark.parametrize(
    ("family", "steps"), [("diffusion", 200), ("stylegan2", 120), ("ddpm", 100), ("imagebart", 200)]
)
def test_a_generator_killed_ends_with_the_same_bits(
    tmp_path: Path,
    tiny_images: Path,
    tiny_autoencoder: Any,
    tiny_diffusion: Any,
    tiny_stylegan2: Any,
    tiny_imagebart: Any,
    family: str,
    steps: int,
) -> None:
    """With both lazy penalties, a ramp of the EMA and style mixing (StyleGAN2), and flips of images."""
    often = {"save_every_s": SAVE_EVERY_S}
    inputs = {"images": tiny_images}
    if family in ("diffusion", "imagebart"):  # on random codes of an untrained autoencoder
        bright = Autoencoder.model_validate(tiny_autoencoder())
        six = {"family": "vqgan", "code_size": "4x4x2", "codebook": {"entries": 6}}
        autoencoder = bright if family == "diffusion" else VQGAN.model_validate(FIRST_STAGE | six)
        inputs = {name: tmp_path / f"{name}.safetensors" for name in ("codes", "autoencoder")}
        save_autoencoder(inputs["autoencoder"], make_autoencoder(autoencoder, 32, 1), autoencoder, 32, 1)
        write_codes(inputs["codes"], torch.randn(30, 2, 4, 4) if family == "imagebart" else torch.rand(30, 2, 4, 4))
    match family:
        case "stylegan2":
            training = {"images": 4 * steps, "flip": True, "ema_ramp": 0.5}
            settings = tiny_stylegan2(training=training, execution=often)
        case "imagebart":
            settings = tiny_imagebart(codebook_size=6, training={"steps": steps}, execution=often)
        case "ddpm":
            like = tiny_diffusion(training={"steps": steps, "flip": True}, execution=often)
            settings = like | {"family": "ddpm", "dataset": "any", "autoencoder": None}
        case _:
            settings = tiny_diffusion(training={"steps": steps}, execution=often)
    kind = "diffusion" if family == "diffusion" else "generator"
    job = {kind: settings, "seed": 3}
    stages = [Stage(tmp_path / name, f"pipeline.train_{kind}", job, **inputs) for name in ("whole", "killed")]
    check_resume(*stages, steps=steps)
