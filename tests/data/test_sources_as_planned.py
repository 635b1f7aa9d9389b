"""A source that changes between the plan and its reading ends the stage with one line, and nothing is put in place."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.evaluate import evaluate
from bright_pipeline.evaluation import features
from bright_pipeline.generate import generate_shard
from bright_pipeline.import_weights import import_weights
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import save_autoencoder, write_codes
from bright_pipeline.models.diffusion import Rescaling, build_unet, save_diffusion
from bright_pipeline.prepare_dataset import prepare_dataset
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.generation import samples
from bright_pipeline.train_autoencoder import train_autoencoder
from bright_pipeline.train_diffusion import train_diffusion
from finished_plan import tiny_plan, tiny_values
from PIL import Image
from test_import_weights import AUTOENCODER, of, whole_ldm
from test_initial_weights import outputs, plan, tuned

pytestmark = pytest.mark.usefixtures("own_folder", "fresh_process")

CHANGED = "changed since the run was planned; start it again"
OTHER = "0" * 64


def replace(path: Path, seed: int) -> None:
    """Another picture of the same size and time in bytes and pixels."""
    time = path.stat().st_mtime_ns if path.exists() else 0
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)).save(path)
    os.utime(path, ns=(time, time))


@pytest.fixture
def collection() -> dict[str, Any]:
    """A config with a folder of pictures, a list that splits it, and the same pictures as samples."""
    Path("cats").mkdir()
    for index in range(12):
        replace(Path("cats", f"{index}.bmp"), index)
    Path("list").write_text("1.bmp\n5.bmp\n")
    values = tiny_values()
    source, split = {"kind": "folder", "path": "cats"}, {"rule": "list", "list": "list"}
    values["datasets"]["tiny"] |= {"source": source, "split": split, "channels": 3, "limit": None}
    values["samples"]["main"] = {"kind": "files", "path": "cats", "dataset": "tiny", "method": "x", "count": 12}
    return values | {"tables": {"table2": ["main"]}}


@pytest.mark.parametrize("changed", ["cats/3.bmp", "list"])
def test_a_collection_that_changed_is_not_prepared_and_the_next_plan_reads_it_again(collection, changed) -> None:
    jobs = tiny_plan(collection)
    job = jobs(dataset, "tiny")
    jobs.fingerprints.keep()
    before = Path(changed).read_bytes()
    if changed == "list":
        Path("list").write_text("1.bmp\n6.bmp\n")
    else:
        replace(Path(changed), 9)
    made = {name: Path(f"{name}.zip") for name in ("train", "validation", "manifest")}
    with pytest.raises(InputError, match=rf"^datasets\.tiny\.(source|split\.list): {CHANGED}$"):
        prepare_dataset(json.dumps(job.settings), **made, workers=1)
    assert not any(path.exists() for path in made.values())
    again = tiny_plan(collection)(dataset, "tiny")
    assert again.digest != job.digest
    prepare_dataset(json.dumps(again.settings), **made, workers=1)
    Path(changed).write_bytes(before)
    assert tiny_plan(collection)(dataset, "tiny").digest == job.digest


def test_samples_that_changed_are_not_copied(collection: dict[str, Any]) -> None:
    job = tiny_plan(collection)(samples, "main")
    replace(Path("cats", "7.bmp"), 9)
    with pytest.raises(InputError, match=f"^cats: {CHANGED}$"):
        generate_shard(json.dumps(job.settings), 0, 4, Path("shard.zip"))
    assert not Path("shard.zip").exists()


def test_a_checkpoint_that_changed_is_not_imported() -> None:
    whole_ldm(Path("model.ckpt"))
    job = {"autoencoder": of("ldm_vq", "model.ckpt", AUTOENCODER), "resolution": 32, "sha256": OTHER}
    with pytest.raises(InputError, match=rf"^autoencoder\.weights: {CHANGED}$"):
        import_weights(json.dumps(job), Path("imported.safetensors"))
    assert not Path("imported.safetensors").exists()


def test_initial_weights_that_changed_start_no_training(tiny_images, tiny_autoencoder, tiny_diffusion) -> None:
    model, large = Autoencoder.model_validate(tiny_autoencoder()), Path("large.safetensors")
    save_autoencoder(large, Bright(model, 32, 1), model, 32, 1)
    job: dict[str, Any] = {"autoencoder": tiny_autoencoder(initial_weights="large"), "initial_sha256": OTHER}
    with pytest.raises(InputError, match=f"^initial_weights {large}: {CHANGED}$"):
        train_autoencoder(json.dumps(job), images=tiny_images, initial=large, **outputs(Path("made")))
    write_codes(Path("codes"), torch.rand(10, 2, 4, 4))
    unet = Diffusion.model_validate(tiny_diffusion())
    save_diffusion(Path("unet.safetensors"), build_unet(unet.unet, model.code_size), unet, model.code_size, Rescaling())
    job = {"diffusion": tiny_diffusion(initial_weights="large"), "initial_sha256": OTHER}
    read = {"codes": Path("codes"), "autoencoder": large, "initial": Path("unet.safetensors")}
    with pytest.raises(InputError, match=rf"^initial_weights unet\.safetensors: {CHANGED}$"):
        train_diffusion(json.dumps(job), **read, **outputs(Path("made")))
    assert not Path("made").exists() or not list(Path("made").glob("*.safetensors"))


def test_a_plan_gives_stages_the_fingerprints_of_the_files_that_they_read() -> None:
    """Checkpoints and initial weights; the tests above run jobs of collections and samples."""
    Path("large.safetensors").write_bytes(b"weights")
    for job in tuned(plan({"path": "large.safetensors"})):
        assert job.settings["initial_sha256"] == job.numerical["initial"]


def test_images_that_are_overwritten_while_they_are_scored_leave_no_features(collection, networks_folder, monkeypatch):
    def overwrite(*arguments: Any) -> Any:
        replace(Path("cats", "2.bmp"), 9)
        return extract(*arguments)

    extract = features.extract
    monkeypatch.setattr(features, "extract", overwrite)
    with pytest.raises(InputError, match=f"^cats: {CHANGED}$"):
        evaluate(Path("cats"), Path("cats"), settings='{"networks": ["efficientnet_lite0"]}', networks=networks_folder)
    assert not list(Path("results").rglob("features*.npz"))
