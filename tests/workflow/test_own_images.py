"""The README's lines turn a folder of 300 images, as people have them, into a page."""

import hashlib
import re
import shutil
from importlib.util import find_spec
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from documented import README, blocks, without_comment
from PIL import Image
from tiny_workflow import Workflow, copy_checkout

pytestmark = pytest.mark.slow

IMAGES, VALIDATION = 300, 50  # usable images without HEIC
TRUNCATED, COPIES = 3, 5
HEIC = find_spec("pillow_heif") is not None


def draw_images(folder: Path) -> None:
    """Coloured boxes of many sizes, kinds and formats in two folders; damaged files, copies, and other files."""
    random, turned = np.random.default_rng(0), Image.Exif()
    turned[0x0112] = 6
    for index in range(IMAGES - COPIES):
        height, width = random.integers(70, 160, 2)
        pixels = np.empty((height, width, 3), np.uint8)
        pixels[:] = random.integers(0, 256, 3)
        top, left = random.integers(0, 50, 2)
        pixels[top : top + 40, left : left + 40] = random.integers(0, 256, 3)
        path = folder / ("first" if index < 200 else "second") / f"{index:03d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(pixels)
        match index % 6:
            case 0:
                image.save(path.with_suffix(".png"))
            case 1:
                image.save(path.with_suffix(".JPG"), "jpeg")
            case 2:
                image.save(path.with_suffix(".jpeg"), exif=turned)
            case 3:
                image.convert("CMYK").save(path.with_suffix(".jpg"))
            case 4:
                Image.fromarray(pixels[:, :, 0].astype(np.uint16) * 257).save(path.with_suffix(".png"))
            case 5:
                image.putalpha(128)
                image.save(path.with_suffix(".webp"))
    whole = (folder / "first" / "001.JPG").read_bytes()
    for index in range(TRUNCATED):
        (folder / f"truncated {index}.jpg").write_bytes(whole[: len(whole) // 2])
    # The hash of a validation image's name is small.
    names = (f"copy {number}.png" for number in count())
    for index, name in enumerate(islice((name for name in names if small_hash(name)), COPIES)):
        shutil.copy(folder / "first" / f"{12 * index:03d}.png", folder / name)
    for name in ("note.txt", "second/note.TXT", "IMG_1.heic"):
        (folder / name).write_text("no image")
    if HEIC:
        import pillow_heif

        pillow_heif.from_pillow(Image.fromarray(pixels)).save(folder / "IMG_1.heic")


def small_hash(name: str) -> bool:
    return hashlib.sha256(name.encode()).digest()[0] < 8


def shorten(config: dict[str, Any]) -> None:
    """Fewer steps and images with the same models: seconds instead of minutes."""
    config["autoencoders"]["main"]["training"]["images"] = 32
    config["diffusions"]["main"]["training"] |= {"steps": 4, "batch": 8}
    config["diffusions"]["main"]["execution"]["previews"] = 1
    for samples in config["samples"].values():
        samples |= {"count": 20, "shard": 20}
    config["samples"]["main"]["sampler"]["steps"] = 2
    config["evaluation"] |= {"neighbours": {"count": 4, "neighbours": 5}, "noise_images": 4}


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
    assert "1 dataset, 1 autoencoder, 1 diffusion, 2 sample sets" in checkout.call("bash", "-euc", check).text
    said = " ".join(checkout.call("bash", "-euc", estimate).text.split())
    by_name, train, validation = IMAGES + TRUNCATED + HEIC, IMAGES + HEIC - VALIDATION, VALIDATION - COPIES
    assert f"{by_name - VALIDATION} images for training, {VALIDATION} for validation (raw images)" in said
    told = checkout.call("bash", "-euc", run).text

    others = "2 other files ignored (2 .txt)"
    if not HEIC:
        others = "3 other files ignored (2 .txt, 1 .heic; to read HEIC: pip install pillow-heif)"
    happened = f"prepared {train} images for training and {validation} for validation; 3 skipped, 5 duplicates removed"
    log = checkout.path("results/logs/prepare_dataset-mine-*.log").relative_to(folder)
    assert f"datasets.mine: {happened}, {others}: {log}\n" in told
    assert told.count(f"datasets.mine: {happened[:60]}") == 2, "when it happens, and at the end of the run"
    assert checkout.text(str(log)).count("skipped truncated ") == TRUNCATED
    assert "results/mine/report.html" in told
    page = (folder / "results" / "mine" / "report.html").read_text(encoding="utf-8")
    assert "64 × 64" in page
    assert f"mine: {happened}, {others}." in page
    assert page.count("<code>truncated ") == TRUNCATED
    numbers = "".join(f'<td class="number">{number}</td>' for number in (3, train, validation))
    assert numbers in page
    assert f"24 of {validation} validation images" in page
    tables = sorted(path.name for path in (folder / "results" / "mine" / "tables").glob("*.csv"))
    assert tables == ["table2.csv", "table3.csv", "table5.csv"]
    assert not list((folder / "results" / "work").glob("*/state.safetensors"))
    assert "The first 20 of the 20 images" in page
    assert re.search(r"BRIGHT reconstructs images of mine from codes of 16x16x4 with LPIPS 0\.\d+", page)
