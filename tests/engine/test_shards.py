"""Jobs in shards: which files each reads; sample sets in one, three or seven shards are the same images (promise 3)."""

import json
import zipfile
from itertools import pairwise

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.engine.jobs import path_of
from bright_pipeline.engine.shards import Shard, shard_of, shards
from bright_pipeline.generate import generate_shard
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import save_autoencoder, write_codes
from bright_pipeline.models.diffusion import build_unet, save_diffusion
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.settings.fields import CodeSize
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.evaluation import evaluation, sample_features, split_features
from bright_pipeline.stages.generation import samples
from finished_plan import tiny_plan, with_key

COUNT = 14
KEYS = Rescaling((0.5,), (2.0,), (0.0, 1.0))  # from [0, 1] to [-1, 1]
KINDS = {
    "diffusion": {"kind": "diffusion", "diffusion": "any", "sampler": {"kind": "ddim", "steps": 4}},
    "ddpm": {"kind": "diffusion", "diffusion": "any", "sampler": {"kind": "ddpm", "steps": 4}},
    "gaussian_codes": {"kind": "gaussian_codes", "autoencoder": "any"},
    "real": {"kind": "real", "dataset": "any"},
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory, tiny_autoencoder, tiny_diffusion, tiny_images):
    """An untrained model, wide enough for the fast paths of convolutions and matrix products."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    settings = Autoencoder.model_validate(tiny_autoencoder(feature_channels=64, decoder={"channels": [64, 32, 16]}))
    decoder = Bright(settings, 32, 1)
    torch.nn.init.uniform_(decoder.tables.tables, -3, 3)
    files = {name: folder / f"{name}.safetensors" for name in ("autoencoder", "diffusion", "codes")}
    save_autoencoder(files["autoencoder"], decoder, settings, 32, 1)
    diffusion, size = Diffusion.model_validate(tiny_diffusion(unet={"channels": 32})), CodeSize(4, 4, 2)
    save_diffusion(files["diffusion"], build_unet(diffusion.unet, size), diffusion, size, KEYS)
    write_codes(files["codes"], torch.rand(100, 2, 4, 4))
    return files | {"train": tiny_images}


@pytest.fixture
def make(sources, tmp_path):
    def shards(kind, bounds, micro_batch=4, seed=0):
        """The sample set's shards between consecutive bounds."""
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        job = json.dumps({"samples": KINDS[kind] | {"count": COUNT, "micro_batch": micro_batch}, "seed": seed})
        paths = []
        for first, last in pairwise(bounds):
            paths.append(folder / f"{first:08d}.zip")
            generate_shard(job, first=first, last=last, images=paths[-1], log=tmp_path / "log", **sources)
        return paths

    return shards


def png_bytes(paths):
    found = {}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            found |= {name: archive.read(name) for name in archive.namelist()}
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_one_three_or_seven_shards_are_the_same_images_of_the_seed(make, kind):
    whole = png_bytes(make(kind, [0, 14]))
    assert len(whole) == len(set(whole.values())) == COUNT
    assert png_bytes(make(kind, [0, 5, 9, 14])) == whole
    assert png_bytes(make(kind, range(0, 15, 2))) == whole
    other = png_bytes(make(kind, [0, 14], seed=1))
    assert list(other) == list(whole) and other != whole


@pytest.mark.parametrize("kind", ["diffusion", "ddpm", "gaussian_codes"])
def test_another_micro_batch_gives_almost_the_same_pixels(make, kind):
    usual = ImageArchive(make(kind, [0, 14])).tensor().numpy().astype(int)
    assert usual.std() > 5  # pictures, not one gray
    for micro_batch in (1, 5, 64):
        other = ImageArchive(make(kind, [0, 14], micro_batch)).tensor().numpy().astype(int)
        assert np.mean(np.abs(usual - other) <= 2) >= 0.999


def test_real_samples_are_training_images_none_twice(make, tiny_images):
    drawn = png_bytes(make("real", [0, 14]))
    with zipfile.ZipFile(tiny_images) as archive:
        training = [archive.read(name) for name in archive.namelist()]
    assert sorted(drawn.values()) == sorted(training)
    assert list(drawn.values()) != training


def test_more_real_samples_than_images_is_one_line(sources, tmp_path):
    job = json.dumps({"samples": KINDS["real"] | {"count": 20}})
    with pytest.raises(InputError, match="14 images, where the sample set needs 20"):
        generate_shard(job, first=10, last=20, images=tmp_path / "a.zip", log=tmp_path / "log", train=sources["train"])
    assert not (tmp_path / "a.zip").exists()


def test_a_missing_option_is_named(sources, tmp_path):
    needed = [("diffusion", "diffusion"), ("gaussian_codes", "codes"), ("real", "train"), ("ddpm", "autoencoder")]
    for kind, option in needed:
        given = {key: path for key, path in sources.items() if key != option}
        with pytest.raises(InputError, match=f"--{option} is missing"):
            generate_shard(json.dumps({"samples": KINDS[kind]}), 0, 2, images=tmp_path / "a.zip", **given)


@pytest.fixture
def jobs(own_folder):
    """The tiny plan with samples in shards of 8 and features in ranges of 12."""
    values = with_key("samples.main.shard", 8)
    values["evaluation"]["shard"] = 12
    return tiny_plan(values)


def paths(shard: Shard, option: str) -> list[str]:
    return [path_of(source) for source in shard.inputs[option]]


def test_a_job_is_done_in_the_shards_of_its_ranges_or_at_once(jobs):
    made, trained = jobs(samples, "main"), jobs(autoencoder, "main")
    parts, (whole,) = shards(made), shards(trained)
    assert [(part.span, part.images) for part in parts] == [((first, first + 8), 8) for first in (0, 8, 16, 24)]
    assert [output for part in parts for output in part.outputs] == made.outputs
    assert (whole.span, whole.outputs) == (None, trained.outputs)
    assert len({shard.key for shard in [*parts, whole]}) == 5
    assert [shard_of(made[file]) for file in made.files] == parts
    assert [shard_of(trained[file]) for file in trained.files] == [whole] * 3
    assert str(parts[1].log) == f"results/logs/generate-main-{made.digest}-000008-000016.log"
    assert str(whole.log) == f"results/logs/train_autoencoder-main-{trained.digest}.log"


def test_a_shard_reads_the_files_that_overlap_with_its_range(jobs):
    made, features = jobs(samples, "main"), shards(jobs(sample_features, "main", "clip"))
    outputs = made.outputs
    assert [paths(shard, "images") for shard in features] == [outputs[:2], outputs[1:3], outputs[3:]]
    assert [shard.starts_at for shard in features] == [0, 8, 24]
    assert len({tuple(paths(shard, "weights")) for shard in features}) == 1
    *_, last = shards(jobs(split_features, "tiny", "validation", "clip"))
    assert (last.span, last.starts_at) == ((24, 32), 0)
    assert paths(last, "images") == [jobs(dataset, "tiny").path("validation.zip")]
    (score,) = shards(jobs(evaluation, "main", "clip", 32))
    assert paths(score, "generated") == jobs(sample_features, "main", "clip").outputs


def test_an_identity_names_a_set_of_ranges_once(jobs):
    made, real = jobs(samples, "main"), jobs(dataset, "tiny")
    features = jobs(sample_features, "main", "clip"), jobs(split_features, "tiny", "validation", "clip")
    assert features[0].identity["inputs"] == [f"{made.digest} images as images"]
    assert features[1].identity["inputs"] == [f"{real.digest} validation.zip as images"]
    both = [f"{one.digest} features as {name}" for one, name in zip(features, ("generated", "reference"), strict=True)]
    assert jobs(evaluation, "main", "clip", 32).identity["inputs"] == both
