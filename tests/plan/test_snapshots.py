"""Snapshots of trainings: what a config may contain, how they are taken and kept."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands import prune as command
from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.run import Needed
from bright_pipeline.evaluation.reconstruction import image_metrics
from bright_pipeline.models.checkpoints import load_autoencoder
from bright_pipeline.models.perceptual import LpipsDistance
from bright_pipeline.plan.checks import obstacles
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.measurements import reconstruction
from bright_pipeline.take_snapshot import take_snapshot
from bright_pipeline.train_autoencoder import train_autoencoder
from finished_plan import TINY, finish, tiny_plan
from safetensors.torch import load_file

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def train(tmp_path: Path, tiny_images: Path, tiny_autoencoder: Any, networks_folder: Path) -> Any:
    """Trains a tiny autoencoder for so many images; returns the folder of its files."""

    def make(name: str, images: int, **execution: Any) -> Path:
        folder = tmp_path / name
        settings = tiny_autoencoder(training={"images": images}, execution={"previews": 0, **execution})
        AcceleratorState._reset_state(True)
        train_autoencoder(
            json.dumps({"autoencoder": settings, "seed": 1}),
            images=tiny_images,
            weights=folder / "weights.safetensors",
            history=folder / "history.csv",
            preview=folder / "preview.png",
            work=folder / "work",
            validation=tiny_images,
            lpips_alex=networks_folder / "lpips_alex.safetensors",
        )
        return folder

    return make


def test_a_snapshot_has_the_bits_of_a_training_that_ends_there(train: Any, tmp_path: Path) -> None:
    long, short = train("long", 24, keep_every=2), train("short", 16)
    taken = tmp_path / "taken.safetensors"
    job = {"snapshot": str(long / "work" / "snapshots" / "00000004.safetensors"), "step": 4}
    take_snapshot(json.dumps(job), training=long / "weights.safetensors", weights=taken)
    one, other = load_file(taken), load_file(short / "weights.safetensors")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert load_autoencoder(taken).decode(torch.rand(1, 2, 4, 4)).shape == (1, 1, 32, 32)
    with pytest.raises(InputError, match="no such snapshot"):
        missing = json.dumps(job | {"snapshot": str(tmp_path / "00000004.safetensors")})
        take_snapshot(missing, training=long / "weights.safetensors", weights=taken)


def test_what_the_history_says_of_validation_images_is_what_reconstruct_measures(train, tiny_images, networks_folder):
    folder = train("measured", 12, validate_every=3, log_every=2)
    with (folder / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], bool(row["validation_ssim"])) for row in rows] == [("2", False), ("3", True)]
    originals, model = ImageArchive(tiny_images), load_autoencoder(folder / "weights.safetensors")
    with torch.no_grad():
        made = to_uint8(model(to_model(originals.tensor())))
    distance = LpipsDistance("lpips_alex", networks_folder / "lpips_alex.safetensors")
    for name, values in image_metrics(originals.tensor(), made, {"lpips_alex": distance}).items():
        assert float(rows[-1][f"validation_{name}"]) == pytest.approx(float(values.mean()), rel=1e-4)


@pytest.fixture
def lacking(own_folder: Path) -> Job:
    """The snapshot of a tiny run whose other jobs are done."""
    finish(tiny_plan())
    taken = tiny_plan()(autoencoder, "early")
    shutil.rmtree(taken.folder)
    shutil.rmtree(tiny_plan()(reconstruction, "early").folder)
    return tiny_plan()(autoencoder, "early")


def test_a_run_that_lacks_a_snapshot_says_so_before_its_first_job(lacking: Job) -> None:
    needed = Needed([lacking["autoencoder.safetensors"]])
    (line,) = obstacles(lacking.jobs, needed)
    assert line.startswith("autoencoders.early: results/work/train_autoencoder-")
    write_text(lacking.settings["snapshot"], "weights")
    assert obstacles(lacking.jobs, needed) == []


def test_prune_leaves_a_snapshot_that_is_still_to_be_taken(lacking: Job, capsys: pytest.CaptureFixture[str]) -> None:
    write_text(lacking.settings["snapshot"], "weights")
    command.prune([TINY])
    assert "snapshots" not in capsys.readouterr().out
    finish(tiny_plan())
    command.prune([TINY])
    assert "(with 1 snapshots)" in capsys.readouterr().out
