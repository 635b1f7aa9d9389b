"""The training commands of generators: each family gets the data it reads, and leaves weights, history and picture."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from first_stages import small_settings
from PIL import Image

from pipeline.models.bright import Bright
from pipeline.models.checkpoints import load_generator, make_autoencoder, save_autoencoder, write_codes
from pipeline.models.diffusion import load_diffusion
from pipeline.settings.autoencoder import Autoencoder, AutoencoderSettings
from pipeline.settings.diffusion import Sampler
from pipeline.train_diffusion import train_diffusion
from pipeline.train_generator import train_generator

STEPS = 3
SAMPLER = Sampler(kind="ddim", steps=2)


pytestmark = pytest.mark.usefixtures("fresh_process")


def codes_of(folder: Path, settings: AutoencoderSettings, model: Any) -> dict[str, Path]:
    """The files of an untrained autoencoder for 32 x 32 images and of codes."""
    autoencoder, codes = folder / "autoencoder.safetensors", folder / "codes.safetensors"
    save_autoencoder(autoencoder, model, settings, 32, 1)
    write_codes(codes, torch.rand(10, 2, 4, 4, generator=torch.Generator().manual_seed(0)))
    return {"codes": codes, "autoencoder": autoencoder}


def outputs(folder: Path) -> dict[str, Path]:
    names = {"weights": "weights.safetensors", "history": "history.csv", "preview": "preview.png", "work": "work"}
    return {option: folder / name for option, name in names.items()}


def check(made: dict[str, Path]) -> None:
    with made["history"].open(newline="") as file:
        assert [float(row["step"]) for row in csv.DictReader(file)] == list(range(1, STEPS + 1))
    assert Image.open(made["preview"]).size[0] >= 32


def test_a_family_of_images_is_trained_on_images(tmp_path: Path, tiny_images: Path, tiny_stylegan2: Any) -> None:
    job = {"generator": tiny_stylegan2(training={"images": 4 * STEPS}), "seed": 1}
    made = outputs(tmp_path)
    train_generator(json.dumps(job), images=tiny_images, **made)
    check(made)
    assert load_generator(made["weights"]).sample([0, 1], 0, SAMPLER).shape == (2, 1, 32, 32)


def test_a_family_of_codes_is_trained_on_codes(tmp_path: Path, tiny_imagebart: Any) -> None:
    network = {"multipliers": [1, 1, 1, 1]}
    settings = small_settings("vqgan", code_size="4x4x2", network=network, codebook={"entries": 6})
    job = {"generator": tiny_imagebart(training={"steps": STEPS, "warmup_steps": 1}), "seed": 1}
    made = outputs(tmp_path)
    train_generator(json.dumps(job), **codes_of(tmp_path, settings, make_autoencoder(settings, 32, 1)), **made)
    check(made)
    assert load_generator(made["weights"]).sample([0], 0, SAMPLER).shape == (1, 2, 4, 4)


def test_a_diffusion_model_is_trained_on_codes(tmp_path: Path, tiny_autoencoder: Any, tiny_diffusion: Any) -> None:
    settings = Autoencoder.model_validate(tiny_autoencoder())
    job = {"diffusion": tiny_diffusion(training={"steps": STEPS, "warmup_steps": 1}), "seed": 1}
    made = outputs(tmp_path)
    train_diffusion(json.dumps(job), **codes_of(tmp_path, settings, Bright(settings, 32, 1)), **made)
    check(made)
    assert load_diffusion(made["weights"]).sample([0], 0, SAMPLER).shape == (1, 2, 4, 4)
