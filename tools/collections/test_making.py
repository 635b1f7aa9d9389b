"""The collections that these scripts make, and what is shipped of them."""

import hashlib
import importlib.util
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.listing import EMBEDDED
from bright_pipeline.data.prepare import listed_names
from bright_pipeline.data.sources import FolderImages, ZipImages
from PIL import Image, ImageDraw, ImageFilter

SHIPPED = EMBEDDED / "openclipart" / "openclipart.zip"


def script(name: str) -> ModuleType:
    """A script beside this file as a module."""
    specification = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


OPENCLIPART, PHOTOGRAPHS = script("openclipart"), script("photographs")


def test_the_shipped_drawings_are_in_colour_and_no_two_of_them_look_alike() -> None:
    sha256 = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
    assert (SHIPPED.parent / "SHA256SUMS").read_text() == f"{sha256}  {SHIPPED.name}\n"
    images = ZipImages(SHIPPED, "here")
    pixels = [np.asarray(images.image(name, 3)) for name in images.names()]
    assert len(pixels) == 3056
    assert {drawing.shape for drawing in pixels} == {(64, 64, 3)}
    assert all(map(OPENCLIPART.shows_colour, pixels))
    small = np.stack([OPENCLIPART.thumbnail(drawing) for drawing in pixels]).astype(np.float64)
    lengths = np.square(small).sum(axis=1)
    apart = lengths[:, None] + lengths - 2 * small @ small.T
    np.fill_diagonal(apart, np.inf)
    assert apart.min() / small.shape[1] >= 9.99**2


# Making the drawings


def drawing(colour: str, size: tuple[int, int] = (90, 60), box: Any = (10, 10, 50, 40)) -> Image.Image:
    image = Image.new("RGBA", size)
    ImageDraw.Draw(image).rectangle(box, fill=colour)
    return image


def test_unusable_drawings_are_skipped_and_the_others_put_on_white_squares(tmp_path: Path) -> None:
    """Two drawings of use, and one of each kind that is left out."""
    folder = tmp_path / "png"
    made = {
        "animals/red": drawing("red"),
        "animals/red_again": drawing("#fd0202"),
        "animals/seal": drawing("gray"),
        "animals/dot": drawing("red", box=(10, 10, 14, 14)),
        "animals/snake": drawing("blue", size=(160, 60)),
        "food/plum": drawing("purple"),
        "unsorted/duplicates/plum": drawing("green"),
    }
    for name, image in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{name}.png")
    (folder / "food" / "damaged.png").write_bytes(b"no drawing")
    (folder / "animals" / "link.png").symlink_to(folder / "unsorted" / "duplicates" / "plum.png")
    for name in ("one", "other"):
        OPENCLIPART.openclipart(folder, tmp_path / name / "openclipart.zip")
    images = ZipImages(tmp_path / "one" / "openclipart.zip", "here")
    assert images.names() == ["animals/red.webp", "food/plum.webp"]
    square = Image.new("RGB", (90, 90), "white")
    ImageDraw.Draw(square).rectangle((10, 25, 50, 55), fill="red")
    expected = np.asarray(square.resize((64, 64), Image.Resampling.LANCZOS))
    assert np.array_equal(np.asarray(images.image("animals/red.webp", 3)), expected)
    for file in ("openclipart.zip", "SHA256SUMS"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()
    with pytest.raises(InputError, match=r"contains no usable drawing; give the package's folder usr/share"):
        OPENCLIPART.openclipart(tmp_path / "one", tmp_path / "openclipart.zip")


# Photographs


def photograph(seed: int) -> Image.Image:
    """Noise, its right third out of focus."""
    image = Image.fromarray(np.random.default_rng(seed).integers(0, 256, (128, 192, 3), np.uint8))
    image.paste(image.crop((128, 0, 192, 128)).filter(ImageFilter.GaussianBlur(60)), (128, 0))
    return image


@pytest.fixture
def backgrounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six of the photographs that a package has."""
    names = tuple(f"hill-{number}" for number in range(6))
    monkeypatch.setattr(PHOTOGRAPHS, "PHOTOGRAPHS", {"nature": names})
    folder = tmp_path / "backgrounds"
    (folder / "nature").mkdir(parents=True)
    for number, name in enumerate(names):
        photograph(number).save(folder / "nature" / f"{name}.png")
    photograph(7).save(folder / "nature" / "no-photograph.png")
    return folder


def test_tiles_are_parts_of_resized_photographs_each_in_one_split(backgrounds: Path, tmp_path: Path) -> None:
    PHOTOGRAPHS.photographs(backgrounds, tmp_path / "photographs")
    images = FolderImages(tmp_path / "photographs", "here")
    names = images.names()
    validation = listed_names(tmp_path / "photographs" / "validation.txt", "here")
    assert {name.split("/")[0] for name in names} == {f"nature-hill-{number}" for number in range(6)}
    assert {name for name in names if name.startswith("nature-hill-4/")} == validation
    tiles = [name for name in names if name.startswith("nature-hill-0/")]
    whole = photograph(0).resize((768, 512), Image.Resampling.LANCZOS)
    places = {row * 12 + column: (column * 64, row * 64) for row, column in product(range(8), range(12))}
    assert 60 <= len(tiles) <= 72
    for name in tiles:
        left, top = places[int(Path(name).stem)]
        assert left < 512 + 64, "blurred"
        expected = whole.crop((left, top, left + 64, top + 64))
        assert np.array_equal(np.asarray(images.image(name, 3)), np.asarray(expected))


def test_an_incomplete_package_is_named(backgrounds: Path, tmp_path: Path) -> None:
    hill = backgrounds / "nature" / "hill-3.png"
    hill.write_bytes(b"no photograph")
    for line in ("hill-3.png: not an image in a known format", "1 of 6 photographs are missing, such as nature/hill-3"):
        with pytest.raises(InputError, match=line):
            PHOTOGRAPHS.photographs(backgrounds, tmp_path / "made" / "photographs")
        assert not any((tmp_path / "made").glob("*"))
        hill.unlink(missing_ok=True)
    with pytest.raises(InputError, match="already exists"):
        PHOTOGRAPHS.photographs(backgrounds, tmp_path)
