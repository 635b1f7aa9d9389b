"""Models in a Python session: the same numbers as the stages, pictures of all kinds, one line for what is wrong."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import load_autoencoder
from pipeline.base.errors import InputError
from pipeline.data.archive import ImageArchive, to_model, to_uint8
from pipeline.generation.interactive import ImageModel
from pipeline.models.bright import Bright
from pipeline.models.checkpoints import save_autoencoder
from pipeline.models.diffusion import TrainedDiffusion, build_unet
from pipeline.models.rescaling import Rescaling
from pipeline.settings.autoencoder import Autoencoder
from pipeline.settings.diffusion import Diffusion


@pytest.fixture
def model(tiny_autoencoder, tmp_path: Path) -> ImageModel:
    settings = Autoencoder.model_validate(tiny_autoencoder())
    save_autoencoder(tmp_path / "autoencoder.safetensors", Bright(settings, 32, 1), settings, 32, 1)
    return load_autoencoder(tmp_path / "autoencoder.safetensors")


def test_decoding_codes_gives_the_models_own_reconstruction(model: ImageModel, tiny_images: Path) -> None:
    images = ImageArchive(tiny_images).tensor(range(3))
    codes = model.encode(images)
    assert codes.shape == (3, 2, 4, 4) and 0 <= codes.min() <= codes.max() <= 1
    with torch.no_grad():
        expected = to_uint8(model.autoencoder(to_model(images)))
    for picture, image in zip(model.decode(codes), expected, strict=True):
        assert picture.size == (32, 32) and (np.asarray(picture) == image[0].numpy()).all()


def test_paths_arrays_and_pictures_are_one_image(model: ImageModel, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "x.png")
    codes = model.encode([picture, picture.convert("RGB"), pixels, pixels[:, :, None], tmp_path / "x.png"])
    assert all(torch.allclose(codes[0], code) for code in codes[1:])
    assert torch.allclose(codes[:1], model.encode(torch.from_numpy(pixels)[None, None]))


def test_sample_i_depends_on_the_seed_and_i_alone(model: ImageModel, tiny_diffusion) -> None:
    settings = Diffusion.model_validate(tiny_diffusion())
    size = model.autoencoder.settings.code_size
    network = build_unet(settings.unet, size).eval()
    trained = TrainedDiffusion(settings, size, Rescaling((0.5,), (2.0,), (0.0, 1.0)), network)
    sampler = ImageModel(model.autoencoder, trained)
    codes = sampler.sample_codes(3, seed=1, steps=2)
    assert torch.allclose(codes[:2], sampler.sample_codes(2, seed=1, steps=2), atol=1e-5)
    assert not torch.allclose(codes, sampler.sample_codes(3, seed=2, steps=2), atol=1e-3)
    assert [image.size for image in sampler.sample(3, steps=2)] == [(32, 32)] * 3


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda model: model.encode(torch.zeros(1, 1, 16, 16, dtype=torch.uint8)), "(1, 32, 32)"),
        (
            lambda model: model.encode([Image.new("L", (32, 32)), Image.new("L", (16, 16))]),
            "not torch.uint8 of (1, 16, 16)",
        ),
        (lambda model: model.decode(torch.zeros(1, 4, 4, 4)), "(N, 2, 4, 4)"),
        (lambda model: model.sample(1), "no trained diffusion model"),
    ],
)
def test_what_does_not_fit_gets_one_line(model: ImageModel, wrong, told: str) -> None:
    with pytest.raises(InputError) as error:
        wrong(model)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_a_name_that_is_not_trained_or_not_there_gets_one_line(tmp_path: Path, monkeypatch) -> None:
    demo = Path(__file__).parents[2] / "config" / "demo.yaml"
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="not trained yet"):
        load_autoencoder("main", demo)
    with pytest.raises(InputError, match="which has main, short"):
        load_autoencoder("nobody", demo)


def test_the_package_itself_imports_no_torch() -> None:
    code = "import sys, pipeline; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
