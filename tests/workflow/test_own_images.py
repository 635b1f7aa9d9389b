"""The README's lines turn a folder of 300 images into a page."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from documented import README, blocks, without_comment
from PIL import Image
from tiny_workflow import Workflow, copy_checkout

pytestmark = pytest.mark.slow

IMAGES, VALIDATION = 300, 50


def draw_images(folder: Path) -> None:
    """Coloured boxes of many sizes, in two formats and two folders, and a text file."""
    random = np.random.default_rng(0)
    for index in range(IMAGES):
        height, width = random.integers(70, 160, 2)
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = random.integers(0, 256, 3)
        top, left = random.integers(0, 50, 2)
        pixels[top : top + 40, left : left + 40] = random.integers(0, 256, 3)
        path = folder / ("first" if index < 200 else "second") / f"{index:03d}.{'jpg' if index % 2 else 'png'}"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    (folder / "note.txt").write_text("no image")


def shorten(config: dict[str, Any]) -> None:
    """Fewer steps and images with the same models: seconds instead of minutes."""
    config["autoencoders"]["main"]["training"]["images"] = 32
    config["diffusions"]["main"]["training"]["steps"] = 4
    for samples in config["samples"].values():
        samples |= {"count": 20, "shard": 20}
    config["samples"]["main"]["sampler"]["steps"] = 2
    config["evaluation"]["neighbours"]["count"] = 4


def test_three_hundred_images_become_a_page_by_the_lines_of_the_readme(tmp_path: Path, networks_folder: Path) -> None:
    folder = copy_checkout(tmp_path / "checkout")
    (folder / "results").mkdir()
    (folder / "results" / "networks").symlink_to(networks_folder.resolve())
    draw_images(tmp_path / "my images")
    checkout = Workflow(folder, folder)
    section = README.partition("\n## Your own images\n")[2]
    copy, check, estimate, run = (without_comment(line) for line in blocks(section, "sh")[0].splitlines())

    checkout.call("bash", "-euc", copy)
    mine = folder / "mine.yaml"
    assert mine.read_text().count("/path/to/images") == 1
    mine.write_text(mine.read_text().replace("/path/to/images", str(tmp_path / "my images")))
    config = yaml.safe_load(mine.read_text())
    shorten(config)
    mine.write_text(yaml.safe_dump(config, sort_keys=False))
    assert "OK" in checkout.call("bash", "-euc", check).text
    said = " ".join(checkout.call("bash", "-euc", estimate).text.split())
    assert f"{IMAGES - VALIDATION} images for training, {VALIDATION} for validation (raw images)" in said
    told = checkout.call("bash", "-euc", run).text

    assert "results/mine/report.html" in told
    page = (folder / "results" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "64 × 64" in page
    counts = "".join(f'<td class="number">{count}</td>' for count in (3, IMAGES - VALIDATION, VALIDATION))
    assert counts in page
    assert f"The first 24 of {VALIDATION} validation images" in page
    assert "The first 20 of the 20 images" in page
    assert re.search(r"BRIGHT \(without adversarial loss\) 16x16x4 reconstructs mine with LPIPS 0\.\d+", page)
