"""Trainings that are killed at any moment and started again end with the same bits (promise 2)."""

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
from bright_pipeline.families.vqgan import VQGAN
from bright_pipeline.models.checkpoints import make_autoencoder, save_autoencoder, write_codes
from bright_pipeline.settings.autoencoder import Autoencoder
from forkserver import REAL_PROCESSES, commands
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).parents[2]
KILLS = 3 if os.environ.get("SOAK_RUNS") else 1  # of each training but BRIGHT's, which is killed twice at least
OUTPUTS = ("weights", "history", "preview")
SAVE_EVERY_S = 0.05


class Stage:
    """A training command with its files in one folder, run by a fork if it is not to be killed."""

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

    def finish(self) -> dict[str, torch.Tensor]:
        subprocess.run(self.command, env=self.environment, check=True, timeout=600, stderr=subprocess.DEVNULL)
        return load_file(self.outputs["weights"])

    def kill(self, step: int, seconds: float) -> None:
        """SIGKILL `seconds` after the first state that this process saved, at `step` or later."""
        step = max(step, self.saved_step() + 1)  # the last kill may have been later than planned
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(self.command, env=self.environment | REAL_PROCESSES, **streams)
        try:
            until = time.monotonic() + 300  # the machine may be busy
            while self.saved_step() < step:
                assert process.poll() is None, "it ended before it could be killed: give it more steps"
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
        finally:
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


def check_resume(
    folder: Path, module: str, job: dict[str, Any], inputs: dict[str, Path], steps: int, kills: int = KILLS
) -> tuple[Stage, Stage]:
    """Train without an interruption and with kills, of real processes; returns both stages."""
    whole, killed = (Stage(folder / name, module, job | {"seed": 3}, **inputs) for name in ("whole", "killed"))
    expected = whole.finish()
    moments = random.Random()
    for kill in range(kills):
        first = kill * steps // (kills + 1)
        killed.kill(moments.randint(first + 1, first + 4 * steps // 5 // (kills + 1)), moments.uniform(0, 0.1))
    found = killed.finish()
    resumed_at = [int(step) for step in re.findall(r"resumed at step (\d+)", (killed.folder / "log").read_text())]
    print(f"resumed at steps {resumed_at} of {steps}")
    assert len(resumed_at) == kills and resumed_at == sorted(resumed_at) and resumed_at[0] > 0
    assert found.keys() == expected.keys()
    assert [name for name in expected if not torch.equal(found[name], expected[name])] == []
    for stage in (whole, killed):
        assert pd.read_csv(stage.outputs["history"])["step"].tolist() == list(range(1, steps + 1))
    assert killed.outputs["preview"].read_bytes() == whole.outputs["preview"].read_bytes()
    return whole, killed


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
    stages = check_resume(
        tmp_path, "bright_pipeline.train_autoencoder", {"autoencoder": settings}, inputs, steps, kills=max(KILLS, 2)
    )
    expected, found = (pd.read_csv(stage.outputs["history"], dtype=str).drop(columns="seconds") for stage in stages)
    assert found.equals(expected)
    assert expected["step"][expected["validation_psnr"].notna()].tolist() == [str(step) for step in range(10, 101, 10)]
    names = [f"{step:08d}.safetensors" for step in range(20, 101, 20)]
    snapshots = [stage.folder / "work" / "snapshots" for stage in stages]
    for folder in snapshots:
        assert sorted(path.name for path in folder.glob("*.safetensors")) == names
    for name in names:
        one, other = (load_file(folder / name) for folder in snapshots)
        assert all(torch.equal(other[key], one[key]) for key in one)
    weights = load_file(stages[0].outputs["weights"])
    assert all(torch.equal(one[key], weight) for key, weight in weights.items()), "the last snapshot"


FIRST_STAGE: dict[str, Any] = {
    "dataset": "any",
    "code_size": "4x4x4",
    "network": {"channels": 8, "multipliers": [1, 1, 1, 1], "blocks": 1, "attention_resolutions": [4]},
    "discriminator": {"channels": 8, "layers": 2},
    "losses": {"perceptual": {"network": "none"}, "adversarial": {"start_images": 80, "critic_only_images": 80}},
    "training": {"images": 400, "batch": 4, "learning_rate": 1e-3, "flip": True, "ema_half_life_images": 50},
    "execution": {"log_every": 1, "previews": 2, "save_every_s": SAVE_EVERY_S},
}
CODEBOOKS: dict[str, Any] = {
    "vqgan": {"codebook": {"entries": 32, "restart_after_images": 20}},
    "rqvae": {"codebook": {"entries": 32, "depth": 2, "restart_below": 1.0}},
    "kl": {},
}


@pytest.mark.parametrize("family", [*CODEBOOKS, "stylegan2", "ddpm", "diffusion", "imagebart"])
def test_a_killed_training_of_another_family_ends_with_the_same_bits(
    tmp_path, tiny_images, tiny_autoencoder, tiny_diffusion, tiny_stylegan2, tiny_imagebart, family
):
    """First stages with continual restarts of codebook entries, an EMA, flips and the adaptive adversary; StyleGAN2
    with both lazy penalties, flips, an EMA ramp and style mixing; DDPM with flips; on codes of untrained autoencoders,
    a diffusion model (BRIGHT's codes) and ImageBART (VQGAN's)."""
    steps, section, inputs = 100, "generator", {"images": tiny_images}
    how: dict[str, Any] = {"training": {"steps": steps}, "execution": {"save_every_s": SAVE_EVERY_S}}
    match family:
        case "stylegan2":
            steps = 120
            settings = tiny_stylegan2(**how | {"training": {"images": 4 * steps, "flip": True, "ema_ramp": 0.5}})
        case "ddpm":
            settings = tiny_diffusion(**how | {"training": {"steps": steps, "flip": True}})
            settings |= {"family": "ddpm", "dataset": "any", "autoencoder": None}
        case "diffusion" | "imagebart":
            steps = how["training"]["steps"] = 200
            vqgan = FIRST_STAGE | {"family": "vqgan", "code_size": "4x4x2", "codebook": {"entries": 6}}
            if family == "diffusion":
                section, settings = family, tiny_diffusion(**how)
                decoder: Any = Autoencoder.model_validate(tiny_autoencoder())
            else:
                settings, decoder = tiny_imagebart(codebook_size=6, **how), VQGAN.model_validate(vqgan)
            inputs = {name: tmp_path / f"{name}.safetensors" for name in ("codes", "autoencoder")}
            save_autoencoder(inputs["autoencoder"], make_autoencoder(decoder, 32, 1), decoder, 32, 1)
            write_codes(inputs["codes"], torch.rand(30, 2, 4, 4))
        case _:
            section, settings = "autoencoder", FIRST_STAGE | {"family": family} | CODEBOOKS[family]
    check_resume(tmp_path, f"bright_pipeline.train_{section}", {section: settings}, inputs, steps)
