"""Models in a Python session and exported folders: the stages' numbers; nothing is replaced or run."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bright_pipeline import load_autoencoder, load_generator
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ImageArchive, to_model, to_uint8
from bright_pipeline.engine.atomic import new_folder
from bright_pipeline.families import parse_generator
from bright_pipeline.generation.exported import write_weights
from bright_pipeline.generation.interactive import ImageModel
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.checkpoints import make_generator, save_autoencoder, save_generator
from bright_pipeline.models.diffusion import build_unet, save_diffusion
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion
from diffusers import DDPMScheduler, UNet2DModel
from PIL import Image
from safetensors.torch import load_file

DDPM = {"family": "ddpm", "dataset": "any", "unet": {"channels": 8, "multipliers": [1, 1], "norm_groups": 4}}


@pytest.fixture
def models(tmp_path: Path, tiny_autoencoder: Any, tiny_diffusion: Any) -> dict[str, Path]:
    """The weights files of an autoencoder and of a diffusion model on its codes."""
    settings = Autoencoder.model_validate(tiny_autoencoder())
    files = {model: tmp_path / f"{model}.safetensors" for model in ("autoencoder", "diffusion")}
    save_autoencoder(files["autoencoder"], Bright(settings, 32, 1), settings, 32, 1)
    denoiser, size = Diffusion.model_validate(tiny_diffusion()), settings.code_size
    unet = build_unet(denoiser.unet, size)
    save_diffusion(files["diffusion"], unet, denoiser, size, Rescaling((0.5,), (2.0,), (0.0, 1.0)))
    return files


@pytest.fixture
def model(models: dict[str, Path]) -> ImageModel:
    return load_autoencoder(models["autoencoder"])


def test_a_folder_is_read_as_the_files_are(models: dict[str, Path], tmp_path: Path) -> None:
    write_weights(tmp_path / "out", models)
    from_folder, from_file = load_autoencoder(tmp_path / "out"), load_autoencoder(models["autoencoder"])
    images = torch.randint(0, 256, (2, 1, 32, 32), dtype=torch.uint8)
    assert torch.equal(from_folder.encode(images), from_file.encode(images))
    with pytest.raises(InputError, match="holds an autoencoder: load_autoencoder"):
        load_generator(tmp_path / "out")


ONE_BOUND = Rescaling((0.5,), (2.0,), (0.0, 1.0))

RESCALINGS = [ONE_BOUND, Rescaling((0.5,) * 4, (2.0,) * 4, (0.0, 1.0)), Rescaling((0.5,), (2.0,))]


@pytest.mark.parametrize("rescaling", RESCALINGS)
def test_diffusers_reads_unet_and_scheduler_which_clips_by_one_bound_for_all_channels(
    models: dict[str, Path], tmp_path: Path, tiny_diffusion: Any, rescaling: Rescaling
) -> None:
    denoiser = Diffusion.model_validate(tiny_diffusion())
    size = load_autoencoder(models["autoencoder"]).autoencoder.settings.code_size
    save_diffusion(models["diffusion"], build_unet(denoiser.unet, size), denoiser, size, rescaling)
    write_weights(tmp_path / "out", models)
    unet = UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet")
    expected = load_file(models["diffusion"])
    assert all(torch.equal(tensor, expected[name]) for name, tensor in unet.state_dict().items())
    scheduler = DDPMScheduler.from_pretrained(tmp_path / "out", subfolder="scheduler").config
    assert scheduler.beta_schedule == "squaredcos_cap_v2" and scheduler.clip_sample == (rescaling is ONE_BOUND)


def test_a_generator_of_pixels_is_a_folder_of_diffusers_too(tmp_path: Path) -> None:
    settings = parse_generator(DDPM, "ddpm")
    made = make_generator(settings, (1, 16, 16))
    save_generator(tmp_path / "generator.safetensors", made, settings, (1, 16, 16))
    write_weights(tmp_path / "out", {"generator": tmp_path / "generator.safetensors"})
    unet = UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet")
    assert all(torch.equal(tensor, made.unet.state_dict()[name]) for name, tensor in unet.state_dict().items())
    one, other = (load_generator(tmp_path / name) for name in ("out", "generator.safetensors"))
    for here, there in zip(one.sample(2, steps=2), other.sample(2, steps=2), strict=True):
        assert here.size == (16, 16)
        assert (np.asarray(here) == np.asarray(there)).all()
    with pytest.raises(InputError, match="holds a generator alone: load_generator"):
        load_autoencoder(tmp_path / "out")


def test_a_new_folder_is_whole_or_absent_and_replaces_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), new_folder(tmp_path / "out") as folder:
        (folder / "half").touch()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as folder:
        (folder / "whole").touch()
        assert not (tmp_path / "out" / "whole").exists()
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "whole"]
    for place in ("out", "out/whole"):
        with pytest.raises(InputError, match="exists, and nothing is replaced"), new_folder(tmp_path / place):
            pytest.fail("not to be written")
    with pytest.raises(InputError, match="exists, and nothing"), new_folder(tmp_path / "new") as folder:
        (tmp_path / "new").mkdir()
        (tmp_path / "new" / "theirs").touch()
    assert (tmp_path / "new" / "theirs").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "out"]


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


def test_pictures_are_prepared_as_the_training_images_were(models: dict[str, Path], tmp_path: Path) -> None:
    folder, file = tmp_path / "out", tmp_path / "photo.png"
    write_weights(folder, models)
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 90, 3), dtype=np.uint8))
    lying = Image.Exif()
    lying[0x0112] = 6  # EXIF's orientation
    photo.save(file, exif=lying)
    square = photo.transpose(Image.Transpose.ROTATE_270).convert("L").crop((0, 20, 50, 70))
    for stated, resample in ({}, Image.Resampling.LANCZOS), ({"filter": "box"}, Image.Resampling.BOX):
        (folder / "settings.json").write_text(json.dumps({"dataset": stated}))
        model = load_autoencoder(folder)
        expected = model.encode([square.resize((32, 32), resample)])
        assert torch.equal(model.encode([file], prepare=True), expected)
    (folder / "settings.json").write_text(json.dumps({"dataset": {"crop": "pad"}}))
    padded = Image.new("L", (32, 32))
    padded.paste(
        photo.transpose(Image.Transpose.ROTATE_270).convert("L").resize((18, 32), Image.Resampling.LANCZOS), (7, 0)
    )
    assert torch.equal(load_autoencoder(folder).encode([file], prepare=True), load_autoencoder(folder).encode([padded]))
    for stated, told in (
        ({"crop": "none"}, "photo.png: 50x90 is not square"),
        ({"filter": "x"}, "json: dataset: filter"),
    ):
        (folder / "settings.json").write_text(json.dumps({"dataset": stated}))
        with pytest.raises(InputError, match=told):
            load_autoencoder(folder).encode([file], prepare=True)


def test_sample_i_depends_on_the_seed_and_i_alone(models: dict[str, Path], tmp_path: Path) -> None:
    write_weights(tmp_path / "out", models)
    sampler = load_autoencoder(tmp_path / "out")
    codes = sampler.sample_codes(3, seed=1, steps=2)
    assert torch.allclose(codes[:2], sampler.sample_codes(2, seed=1, steps=2), atol=1e-5)
    assert not torch.allclose(codes, sampler.sample_codes(3, seed=2, steps=2), atol=1e-3)
    assert [image.size for image in sampler.sample(3, steps=2)] == [(32, 32)] * 3


def test_what_does_not_fit_gets_one_line(model: ImageModel) -> None:
    two_sizes = [Image.new("L", (32, 32)), Image.new("L", (16, 16))]
    for method, argument, told in (
        (model.encode, torch.zeros(1, 1, 16, 16, dtype=torch.uint8), "(1, 32, 32)"),
        (model.encode, two_sizes, "not torch.uint8 of (1, 16, 16)"),
        (model.decode, torch.zeros(1, 4, 4, 4), "(N, 2, 4, 4)"),
        (model.sample, 1, "no trained diffusion model"),
    ):
        with pytest.raises(InputError) as error:
            method(argument)
        assert told in str(error.value) and "\n" not in str(error.value)


def test_a_name_that_is_not_trained_or_not_there_gets_one_line(own_folder: Path) -> None:
    demo = Path(__file__).parents[2] / "config" / "demo.yaml"
    with pytest.raises(InputError, match="not trained yet"):
        load_autoencoder("main", demo)
    with pytest.raises(InputError, match="which has main, main-stage, short"):
        load_autoencoder("nobody", demo)
