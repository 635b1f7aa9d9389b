"""An unmounted disk is no new collection: the kept fingerprint stands, and a run that needs the images says so."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tiny_workflow import Workflow, empty_workflow

pytestmark = pytest.mark.slow

PREPARE = ("--until", "prepare_dataset")


def photograph(path: Path, seed: int) -> None:
    """A gray image of noise, uncompressed: all files have one size."""
    pixels = np.random.default_rng(seed).integers(0, 256, (40, 40), np.uint8)
    Image.fromarray(pixels).save(path, format="BMP")


@pytest.fixture
def collection(tmp_path: Path, networks_folder: Path) -> Workflow:
    """The tiny config on a folder of thirty images, split by a list, prepared."""
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
    return workflow


def kept(workflow: Workflow) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (workflow.folder / "results" / "fingerprints").iterdir()}


def test_an_emptied_folder_and_a_missing_list_leave_fingerprint_and_results_alone(collection: Workflow) -> None:
    before = kept(collection)
    assert before
    shutil.rmtree(collection.folder / "photographs")
    (collection.folder / "photographs").mkdir()
    (collection.folder / "validation.txt").unlink()
    assert collection.run(*PREPARE).jobs == {}
    shutil.rmtree(collection.folder / "results" / "store")
    said = collection.run(*PREPARE, expect=1).text
    assert "error: datasets.tiny.source" in said and "photographs" in said
    assert kept(collection) == before


def test_another_image_of_the_same_size_is_another_collection(collection: Workflow) -> None:
    photograph(collection.folder / "photographs" / "00.bmp", seed=99)
    assert collection.run("-n", *PREPARE).jobs == {"prepare_dataset": 1}
    photograph(collection.folder / "photographs" / "00.bmp", seed=0)
    assert collection.run(*PREPARE).jobs == {}, "the old content, whatever its time"
