"""`bright encode`, `bright decode` and `bright sample`: a folder of images becomes codes, and images again."""

import shutil
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from bright_pipeline import load_autoencoder
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.decode import decode
from bright_pipeline.commands.encode import encode
from bright_pipeline.commands.sample import sample
from bright_pipeline.generation.code_files import read_codes, write_codes
from bright_pipeline.generation.interactive import validation_images
from bright_pipeline.models.checkpoints import make_autoencoder, save_autoencoder
from bright_pipeline.stages.autoencoders import autoencoder
from bright_pipeline.stages.datasets import dataset
from finished_plan import TINY, tiny_plan
from first_stages import ALL_FAMILIES, RESOLUTION, small_model
from PIL import Image

COUNT = 9  # images: more than the networks see at once


def saved(family: str, **changes: object) -> str:
    model = small_model(family, **changes)
    save_autoencoder(Path("model.safetensors"), model, model.settings, RESOLUTION, 1)
    return "model.safetensors"


@pytest.fixture
def photos(own_folder: Path) -> Path:
    """Photographs of another size than the model's, in a subfolder too, and a damaged file."""
    folder = own_folder / "photos"
    (folder / "more").mkdir(parents=True)
    random = np.random.default_rng(0)
    for index in range(COUNT):
        pixels = random.integers(0, 256, (20, 24, 3), np.uint8)
        Image.fromarray(pixels).save(folder / ("more" if index % 2 else "") / f"photo {index}.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    return Path("photos")


@pytest.mark.parametrize("family", ALL_FAMILIES)
def test_a_folder_becomes_codes_and_images_again(family: str, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = saved(family)
    encode(photos, Path("codes.npz"), model)
    printed = capsys.readouterr()
    assert "skipped photos/broken.jpg: " in printed.err
    assert f"codes.npz: {Path('codes.npz').stat().st_size / 1000:.0f} kB for {COUNT} images" in printed.out
    decode(Path("codes.npz"), Path("again"), model)
    files = sorted(photos.rglob("*.png"), key=lambda path: str(path.relative_to(photos)))
    assert sorted(path.name for path in Path("again").iterdir()) == [
        f"{index:05d}-{path.stem}.png" for index, path in enumerate(files)
    ]
    loaded = load_autoencoder(model)
    expected = loaded.decode(loaded.encode(files, prepare=True))
    for path, image in zip(sorted(Path("again").iterdir()), expected, strict=True):
        difference = np.asarray(Image.open(path)).astype(int) - np.asarray(image)
        assert np.abs(difference).max() <= (2 if family == "bright" else 1), "1: batches of another size"
    with pytest.raises(InputError, match="exists, and nothing is replaced"):
        decode(Path("codes.npz"), Path("again"), model)


@pytest.mark.parametrize(("finest", "kind"), [(16, np.uint8), (32, np.uint8), (64, np.uint16), (256, np.uint16)])
def test_keys_are_rounded_to_half_the_deviation_of_their_noise(finest: int, kind: type, own_folder: Path) -> None:
    model = small_model("bright", tables={"finest_resolution": finest})
    codes = torch.rand(5, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    codes[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    write_codes(Path("codes.npz"), model, codes, list("abcde"))
    again, names = read_codes(Path("codes.npz"))
    assert np.load("codes.npz")["codes"].dtype == kind
    assert names == list("abcde") and (again - codes).abs().max() <= 1.01 / (4 * finest) / 4
    assert again[0, 0, 0, :2].tolist() == [0, 1]
    assert np.load("codes.npz")["levels"] + 1 == 8 * finest, "steps of half the deviation, 1 / (4 finest)"


def test_keys_with_noise_too_small_for_16_bits_keep_32(own_folder: Path) -> None:
    model = small_model("bright", code_noise_cells=1e-5)
    codes = torch.rand(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    write_codes(Path("codes.npz"), model, codes, list("ab"))
    assert torch.equal(read_codes(Path("codes.npz"))[0], codes)


def test_other_files_and_names_from_elsewhere_do_no_harm(photos: Path) -> None:
    model = saved("bright")
    with pytest.raises(InputError, match=r"photo 0.png: not a file of `bright encode`"):
        decode(photos / "photo 0.png", Path("again"), model)
    np.savez("wrong.npz", codes=np.zeros((2, 4, 4, 4)), levels=0, names=np.array(["a"]))
    with pytest.raises(InputError, match=r"and 1 names"):
        read_codes(Path("wrong.npz"))
    names = ["../../outside", "/etc/passwd", "a\0b"]
    write_codes(Path("codes.npz"), load_autoencoder(model).autoencoder, torch.full((3, 4, 4, 4), 0.5), names)
    decode(Path("codes.npz"), Path("again"), model)
    assert sorted(path.name[:9] for path in Path("again").iterdir()) == ["00000-out", "00001-pas", "00002-a\\x"]
    Path("empty").mkdir()
    with pytest.raises(InputError, match="empty: no readable image"):
        encode(Path("empty"), Path("codes.npz"), model)


def test_a_config_names_its_trained_model_and_the_validation_images(own_folder: Path, tiny_images: Path) -> None:
    jobs = tiny_plan()
    settings = jobs.config.autoencoders["main"]
    files = [
        jobs(autoencoder, "main").folder / "autoencoder.safetensors",
        jobs(dataset, "tiny").folder / "validation.zip",
    ]
    for file in files:
        file.parent.mkdir(parents=True)
    model = make_autoencoder(settings, 32, 1)
    save_autoencoder(files[0], model, settings, 32, 1)
    shutil.copyfile(tiny_images, files[1])
    loaded = load_autoencoder("main", TINY, device="cpu").autoencoder.state_dict()
    assert all(torch.equal(weight, loaded[name]) for name, weight in model.state_dict().items())
    with ZipFile(tiny_images) as archive:
        count, first = len(archive.namelist()), Image.open(archive.open(sorted(archive.namelist())[0])).tobytes()
    assert [len(validation_images("main", wanted, TINY)) for wanted in (3, 1000)] == [3, count]
    assert validation_images("main", 1, TINY)[0].tobytes() == first


def test_a_model_prints_in_one_line_and_samples_need_a_diffusion_model(own_folder: Path) -> None:
    model = saved("bright")
    assert repr(load_autoencoder(model, device="cpu")) == "ImageModel(Bright, images 16 x 16 x 1, codes 4x4x4, cpu)"
    with pytest.raises(InputError, match="no trained diffusion model on these codes"):
        sample(2, Path("new"), model=model)
    assert not Path("new").exists()
