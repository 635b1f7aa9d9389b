"""The training commands of generators: each family gets the data it reads, and leaves weights, history and picture."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from first_stages import small_settings
from PIL import Image

from pipeline.models.checkpoints import load_generator, make_autoencoder, save_autoencoder, write_codes
from pipeline.models.diffusion import load_diffusion
from pipeline.settings.autoencoder import Autoencoder, AutoencoderSettings
from pipeline.settings.diffusion import Sampler
from pipeline.train_diffusion import train_diffusion
from pipeline.train_generator import train_generator

STEPS = 3
SAMPLER = Sampler(kind="ddim", steps=2)


pytestmark = pytest.mark.usefixtures("fresh_process")


def codes_of(folder: Path, settings: AutoencoderSettings) -> dict[str, Path]:
    """The files of an untrained autoencoder for 32 x 32 images and of codes."""
    autoencoder, codes = folder / "autoencoder.safetensors", folder / "codes.safetensors"
    save_autoencoder(autoencoder, make_autoencoder(settings, 32, 1), settings, 32, 1)
    write_codes(codes, torch.rand(10, 2, 4, 4, generator=torch.Generator().manual_seed(0)))
    return {"codes": codes, "autoencoder": autoencoder}


@pytest.mark.parametrize("family", ["stylegan2", "imagebart", "diffusion"])
def test_a_command_reads_its_data_and_writes_a_model_a_history_and_a_picture(
    tmp_path, tiny_images, tiny_autoencoder, tiny_diffusion, tiny_stylegan2, tiny_imagebart, family
) -> None:
    names = {"weights": "weights.safetensors", "history": "history.csv", "preview": "preview.png", "work": "work"}
    made, few = {option: tmp_path / name for option, name in names.items()}, {"steps": STEPS, "warmup_steps": 1}
    if family == "stylegan2":
        job = {"generator": tiny_stylegan2(training={"images": 4 * STEPS}), "seed": 1}
        train_generator(json.dumps(job), images=tiny_images, **made)
    elif family == "imagebart":
        network = {"multipliers": [1, 1, 1, 1]}
        vqgan = small_settings("vqgan", code_size="4x4x2", network=network, codebook={"entries": 6})
        job = {"generator": tiny_imagebart(training=few), "seed": 1}
        train_generator(json.dumps(job), **codes_of(tmp_path, vqgan), **made)
    else:
        job = {"diffusion": tiny_diffusion(training=few), "seed": 1}
        bright = Autoencoder.model_validate(tiny_autoencoder())
        train_diffusion(json.dumps(job), **codes_of(tmp_path, bright), **made)
    assert pd.read_csv(made["history"])["step"].tolist() == list(range(1, STEPS + 1))
    assert Image.open(made["preview"]).size[0] >= 32
    model: Any = load_diffusion(made["weights"]) if family == "diffusion" else load_generator(made["weights"])
    assert model.sample([0, 1], 0, SAMPLER).shape == ((2, 1, 32, 32) if family == "stylegan2" else (2, 2, 4, 4))
