"""An exported model: its card, and sampling with diffusers alone."""

import json
import re
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


def test_the_cards_lines_sample_with_diffusers_alone(exported: Path, tmp_path: Path) -> None:
    """From equal noise to the codes of `sample_codes`, in a process that cannot import this package."""
    _, code = blocks((exported / "README.md").read_text(encoding="utf-8"), "python")
    shape = json.loads((exported / "rescaling.json").read_text())["shape"]
    noise = torch.stack([torch.randn(shape, generator=generator) for generator in noise_generators(1, range(8))])
    np.save(tmp_path / "noise.npy", noise.numpy())
    given = code.replace('torch.randn(8, *facts["shape"])', 'torch.from_numpy(numpy.load("noise.npy"))')
    assert given != code
    absent = "import sys, numpy\nsys.modules['bright_pipeline'] = None\n"
    script = f"{absent}{given}\nnumpy.save('codes.npy', codes.numpy())"
    script = script.replace("PATH/OF/THIS/FOLDER", str(exported))
    subprocess.run([sys.executable, "-P", "-c", script], cwd=tmp_path, check=True)
    steps = json.loads((exported / "rescaling.json").read_text())["steps"]
    expected = load_autoencoder(exported).sample_codes(8, seed=1, steps=steps)
    assert np.load(tmp_path / "codes.npy") == pytest.approx(expected.numpy(), abs=1e-4)


def test_the_cards_first_lines_encode_a_photograph_decode_and_sample(exported: Path, tmp_path: Path) -> None:
    """The tiny run pads its images, as the demo does: larger pictures are shrunk to fit."""
    code, _ = blocks((exported / "README.md").read_text(encoding="utf-8"), "python")
    Image.fromarray(np.zeros((50, 70, 3), np.uint8)).save(tmp_path / "photo.jpg")
    script = code.replace("PATH/OF/THIS/FOLDER", str(exported)) + "\nprint(model, len(images), len(new))"
    command = [sys.executable, "-P", "-c", script]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert re.fullmatch(r"ImageModel\(Bright, images 32 x 32 x 1, codes 4x4x2, samples, \w+\) 1 8\n", printed)


def test_the_card_has_data_numbers_with_protocols_and_how_to_load_it(exported: Path) -> None:
    card = (exported / "README.md").read_text(encoding="utf-8")
    _, front, body = card.split("---\n", 2)
    told = yaml.safe_load(front)
    assert (told["license"], told["pipeline_tag"]) == ("unknown", "unconditional-image-generation")
    metrics = told["model-index"][0]["results"][0]["metrics"]
    assert {"lpips", "psnr", "fd_efficientnet_lite0"} <= {metric["type"] for metric in metrics}
    assert [len([line for line in code.splitlines() if line]) for code in blocks(body, "python")] == [5, 10]
    assert "| licence of the images | MIT |" in body
    assert "Protocol: channels 1, count 32, images_sha256" in body
    assert (exported / "samples-main.png").exists() and "samples-main.png" in body


def test_a_model_that_is_not_there_gets_one_line(tiny_run: Workflow) -> None:
    arguments = ("nobody", "new", "--config", "config.yaml")
    (line,) = tiny_run.python("bright_pipeline.commands", "export", *arguments, expect=2).text.splitlines()
    assert "'nobody': no trained model of the config, which has autoencoders.main" in line
    assert not (tiny_run.folder / "new").exists()
