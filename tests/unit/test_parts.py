"""Sample sets in shards: one, three or seven, the same images (promise 3)."""

import json
import zipfile
from itertools import pairwise

import numpy as np
import pytest
import torch

from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive
from pipeline.generate import generate_shard
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import save_autoencoder
from pipeline.models.code_files import write_codes
from pipeline.models.rescaling import Rescaling
from pipeline.models.trained_diffusion import save_diffusion
from pipeline.models.unet import build_unet
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.diffusion import Diffusion
from pipeline.settings.fields import CodeSize

COUNT = 14
KEYS = Rescaling(0.5, 2.0, 1.0)  # from [0, 1] to [-1, 1]
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
    save_autoencoder(folder / "autoencoder.safetensors", decoder, settings, 32, 1)
    diffusion = Diffusion.model_validate(tiny_diffusion(unet={"channels": 32}))
    size = CodeSize(4, 4, 2)
    save_diffusion(folder / "diffusion.safetensors", build_unet(diffusion.unet, size), diffusion, size, KEYS)
    write_codes(folder / "codes.safetensors", torch.rand(100, 2, 4, 4))
    return {
        "autoencoder": folder / "autoencoder.safetensors",
        "diffusion": folder / "diffusion.safetensors",
        "codes": folder / "codes.safetensors",
        "train": tiny_images,
    }


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
def test_one_three_or_seven_shards_are_the_same_images_byte_for_byte(make, kind):
    whole = png_bytes(make(kind, [0, 14]))
    assert len(whole) == len(set(whole.values())) == COUNT
    assert png_bytes(make(kind, [0, 5, 9, 14])) == whole
    assert png_bytes(make(kind, range(0, 15, 2))) == whole


@pytest.mark.parametrize("kind", ["diffusion", "ddpm", "gaussian_codes"])
def test_another_micro_batch_gives_almost_the_same_pixels(make, kind):
    usual = ImageArchive(make(kind, [0, 14])).tensor().numpy().astype(int)
    assert usual.std() > 5  # pictures, not one gray
    for micro_batch in (1, 5, 64):
        other = ImageArchive(make(kind, [0, 14], micro_batch)).tensor().numpy().astype(int)
        assert np.mean(np.abs(usual - other) <= 2) >= 0.999


@pytest.mark.parametrize("kind", KINDS)
def test_the_seed_decides_the_images(make, kind):
    one, other = png_bytes(make(kind, [0, 4])), png_bytes(make(kind, [0, 4], seed=1))
    assert list(one) == list(other)
    assert one != other


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


@pytest.mark.parametrize(
    ("kind", "option"),
    [("diffusion", "diffusion"), ("gaussian_codes", "codes"), ("real", "train"), ("ddpm", "autoencoder")],
)
def test_a_missing_option_is_named(sources, tmp_path, kind, option):
    given = {key: path for key, path in sources.items() if key != option}
    with pytest.raises(InputError, match=f"--{option} is missing"):
        generate_shard(
            json.dumps({"samples": KINDS[kind]}),
            first=0,
            last=2,
            images=tmp_path / "a.zip",
            log=tmp_path / "log",
            **given,
        )
