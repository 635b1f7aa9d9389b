"""An unmounted disk is no new collection: the stored fingerprint counts, and a run that needs the images says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_workflow import empty_workflow

pytestmark = pytest.mark.slow

PREPARE = ("--until", "prepare_dataset")


def photograph(path: Path, seed: int) -> None:
    """A gray image of noise, uncompressed, so that all files have one size."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(pixels).save(path, format="BMP")


def test_missing_images_change_nothing_and_another_image_is_another_collection(
    tmp_path: Path, networks_folder: Path
) -> None:
    """A collection of thirty images, split by a list, prepared."""
    workflow = empty_workflow(tmp_path / "run", networks_folder)
    images = workflow.folder / "photographs"
    images.mkdir()
    for index in range(30):
        photograph(images / f"{index:02d}.bmp", index)
    (workflow.folder / "validation.txt").write_text("".join(f"{index:02d}.bmp\n" for index in range(20, 30)))

    def own(config: dict[str, Any]) -> None:
        split = {"rule": "list", "list": "validation.txt"}
        source = {"kind": "folder", "path": "photographs"}
        config["datasets"]["tiny"] = {"source": source, "resolution": 32, "channels": 1, "split": split}

    workflow.configure(own)
    assert workflow.run(*PREPARE).jobs == {"prepare_dataset": 1}
    photograph(images / "00.bmp", seed=99)
    assert workflow.run("-n", *PREPARE).jobs == {"prepare_dataset": 1}
    photograph(images / "00.bmp", seed=0)
    assert workflow.run(*PREPARE).jobs == {}, "the old content, with another time"

    before = workflow.files("results/fingerprints")
    assert before
    workflow.remove("photographs/*", "validation.txt")
    assert workflow.run(*PREPARE).jobs == {}
    workflow.remove("results/store")
    said = workflow.run(*PREPARE, expect=1).text
    assert "error: datasets.tiny.source" in said and "photographs" in said
    assert workflow.files("results/fingerprints") == before
