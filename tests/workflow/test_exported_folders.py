"""An exported model: the folder alone, outside the checkout, in a separate process."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from bright_pipeline import load_autoencoder
from bright_pipeline.models.generator import noise_generators
from documented import blocks
from PIL import Image
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

LOADED = """
import hashlib, sys
from pathlib import Path
from bright_pipeline import load_autoencoder

model = load_autoencoder(Path.cwd())
codes = model.encode(["picture.png"])
print(hashlib.sha256(codes.numpy().tobytes()).hexdigest(), len(model.sample(2, seed=1, steps=2)))
"""


@pytest.fixture
def folder(tiny_run: Workflow, tmp_path: Path) -> Path:
    tiny_run.python("bright_pipeline.commands.export", "main", str(tmp_path / "out"), "--config", "config.yaml")
    return tmp_path / "out"


def test_an_exported_folder_encodes_to_the_same_bits_in_a_fresh_process(tiny_run: Workflow, folder: Path) -> None:
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(folder / "picture.png")
    weights = tiny_run.path("results/store/autoencoders/main-*/autoencoder.safetensors")
    codes = load_autoencoder(weights).encode([folder / "picture.png"])
    command = [sys.executable, "-P", "-c", LOADED]
    said = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()
    assert said == [hashlib.sha256(codes.numpy().tobytes()).hexdigest(), "2"]


def test_the_cards_lines_sample_with_diffusers_alone(folder: Path, tmp_path: Path) -> None:
    """From equal noise to the codes of `sample_codes`, in a process that cannot import this package."""
    _, code = blocks((folder / "README.md").read_text(encoding="utf-8"), "python")
    shape = json.loads((folder / "rescaling.json").read_text())["shape"]
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in noise_generators(1, range(8))])
    np.save(tmp_path / "noise.npy", noise.numpy())
    given = code.replace('torch.randn(8, *facts["shape"])', 'torch.from_numpy(numpy.load("noise.npy"))')
    assert given != code
    absent = "import sys, numpy\nsys.modules['bright_pipeline'] = None\n"
    script = f"{absent}{given}\nnumpy.save('codes.npy', codes.numpy())"
    script = script.replace("PATH/OF/THIS/FOLDER", str(folder))
    subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, check=True)
    steps = json.loads((folder / "rescaling.json").read_text())["steps"]
    expected = load_autoencoder(folder).sample_codes(8, seed=1, steps=steps)
    assert np.load(tmp_path / "codes.npy") == pytest.approx(expected.numpy(), abs=1e-4)


def test_the_card_has_data_numbers_with_protocols_and_how_to_load_it(folder: Path) -> None:
    card = (folder / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["license"], told["pipeline_tag"]) == ("unknown", "unconditional-image-generation")
    metrics = told["model-index"][0]["results"][0]["metrics"]
    assert {"lpips", "psnr", "fd_efficientnet_lite0"} <= {metric["type"] for metric in metrics}
    assert [len([line for line in code.splitlines() if line]) for code in blocks(body, "python")] == [5, 10]
    assert "| licence of the images | MIT |" in body
    assert "Protocol: channels 1, count 32, images_sha256" in body
    assert (folder / "samples-main.png").exists() and "samples-main.png" in body


def test_a_model_that_is_not_there_gets_one_line(tiny_run: Workflow) -> None:
    arguments = ("nobody", "new", "--config", "config.yaml")
    (line,) = tiny_run.python("bright_pipeline.commands.export", *arguments, expect=2).text.splitlines()
    assert "'nobody': no trained model of the config, which has autoencoders.main" in line
    assert not (tiny_run.folder / "new").exists()
