"""The figures: the right images in the right places, the same bytes twice, one line for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive
from bright_pipeline.figures.codes import statistics
from bright_pipeline.figures.common import spaced
from bright_pipeline.figures.images import GAP, HEADING_HEIGHT, MARGIN
from bright_pipeline.make_figure import make_figure
from PIL import Image

CELL = 128  # 32 pixels, enlarged four times
NAMES = [f"{index:08d}.png" for index in range(4)]  # generated images with known neighbours


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Archives of gray images, a hits file and histories."""
    random = np.random.default_rng(0)
    for name, count in (("validation", 12), ("reconstructions", 12), ("first", 40), ("second", 40)):
        with ArchiveWriter(tmp_path / f"{name}.zip", 1) as archive:
            for index in range(count):
                archive.add(f"{index:08d}.png", random.integers(0, 256, (32, 32), dtype=np.uint8))
    hits = random.poisson(3, (4, 600)) * (random.random((4, 600)) > 0.2)
    np.savez(tmp_path / "hits.npz", hits=hits, reachable=np.arange(600) < 500)
    for name in ("main", "other"):
        lines = [f"{step},{step * 16},{step / 7},{1 / step},{random.normal()}" for step in range(20, 400, 20)]
        (tmp_path / f"{name}.csv").write_text("step,images,seconds,l2,critic\n" + "\n".join(lines) + "\n")
    lines = [f"generated,{image_name},{rank},{rank:08d}.png,0.1" for image_name in NAMES for rank in (1, 2, 3)]
    text = "set,image,rank,train_image,lpips\nvalidation,00000000.png,1,00000007.png,0.1\n" + "\n".join(lines)
    (tmp_path / "neighbours.csv").write_text(text)
    (tmp_path / "columns.json").write_text('{"groups": ["all groups", "without 1"]}')
    return tmp_path


INPUTS = {
    "fig01": "validation=validation.zip reconstructions=reconstructions.zip samples=first.zip samples=second.zip",
    "fig06": "validation=validation.zip reconstructions:8x8x4=reconstructions.zip reconstructions:8x8x8=first.zip",
    "fig08": "samples:ours=first.zip samples:real=second.zip",
    "fig10": "samples=first.zip samples=second.zip",
    "fig11": "neighbours=neighbours.csv samples=first.zip train=validation.zip",
    "groups": "images=first.zip columns=columns.json",
    "fig05b": "hits=hits.npz",
    "curves_autoencoders": "history:main=main.csv history:other=other.csv",
}


def inputs(folder: Path, figure: str) -> list[str]:
    return [given.replace("=", f"={folder}/") for given in INPUTS[figure].split()]


def test_pairs_are_evenly_spaced_so_that_they_show_different_photographs() -> None:
    assert spaced(387, 8) == [0, 48, 96, 145, 193, 241, 290, 338]
    assert spaced(3, 8) == [0, 1, 2] and spaced(8, 8) == list(range(8))


@pytest.mark.parametrize("figure", ["fig01", "fig06", "fig08", "fig10", "fig11", "groups"])
def test_pictures_have_whole_pixels_and_equal_bytes_twice(figure: str, folder: Path) -> None:
    made = []
    for turn in ("first", "second"):
        png = folder / turn / f"{figure}.png"
        settings = json.dumps({"figure": figure})
        make_figure(settings, png, inputs(folder, figure), png.with_suffix(".pdf"))
        made.append(png.read_bytes())
    assert made[0] == made[1]
    assert png.with_suffix(".pdf").read_bytes().startswith(b"%PDF")
    with Image.open(png) as picture:
        last = np.asarray(picture.convert("RGB"))[-MARGIN - CELL : -MARGIN, -MARGIN - CELL : -MARGIN]
    assert (last[::4, ::4] == last[3::4, 3::4]).all(), "an image's pixel is a square of equal pixels"
    assert (last[..., 0] == last[..., 1]).all() and (last[..., 1] == last[..., 2]).all(), "gray stays gray"
    assert last.std() > 10


def test_for_dark_screens_labels_are_light_and_images_and_colours_the_same(folder: Path) -> None:
    light, dark = folder / "light.png", folder / "dark.png"
    make_figure('{"figure": "fig06"}', light, inputs(folder, "fig06"), dark=dark)
    before, after = (np.asarray(Image.open(path).convert("RGBA")).astype(int) for path in (light, dark))
    last = np.s_[-MARGIN - CELL : -MARGIN, -MARGIN - CELL : -MARGIN]
    assert (before[last] == after[last]).all() and before[last].std() > 10
    assert before[2, 2].tolist() == [255] * 4 and after[2, 2, 3] == 0, "white became transparent"
    labels = after[:, : MARGIN + 40]
    assert labels[..., 3].max() == 255 and labels[labels[..., 3] == 255].min() > 200
    make_figure('{"figure": "curves_autoencoders"}', light, inputs(folder, "curves_autoencoders"), dark=dark)
    after = np.asarray(Image.open(dark).convert("RGBA")).astype(int)
    drawn = after[after[..., 3] == 255]
    assert (drawn[:, 2] > drawn[:, 0] + 150).any(), "the first curve is blue"
    assert (after[..., 3] == 0).mean() > 0.5 and (drawn.min(axis=1) > 200).any()


def pixels_of(png: Path, column: int, row: int, top: int = 0) -> np.ndarray:
    """The image in one cell of a picture, at its own size."""
    y, x = (MARGIN + place * (CELL + GAP) for place in (row, column))
    cell = np.asarray(Image.open(png).convert("L"))[y + top : y + top + CELL, x : x + CELL]
    return cell[::4, ::4]


def test_samples_are_the_first_ones_in_order_across_shards(folder: Path) -> None:
    png = folder / "fig10.png"
    make_figure('{"figure": "fig10"}', png, inputs(folder, "fig10"))
    archive = ImageArchive([folder / "first.zip", folder / "second.zip"])
    for index in (0, 9, 63):
        row, column = divmod(index, 8)
        assert (pixels_of(png, column, row) == archive.read(index)[..., 0]).all()


def test_the_nearest_training_images_stand_in_their_order_to_the_right_of_each_generated_one(folder: Path) -> None:
    png = folder / "fig09.png"
    make_figure('{"figure": "fig09"}', png, inputs(folder, "fig11"))
    generated, train = ImageArchive(folder / "first.zip"), ImageArchive(folder / "validation.zip")
    for row in range(len(NAMES)):
        for column, expected in enumerate([generated.read(row), *(train.read(rank) for rank in (1, 2, 3))]):
            assert (pixels_of(png, column, row, HEADING_HEIGHT) == expected[..., 0]).all()


@pytest.mark.parametrize("figure", ["fig05b", "curves_autoencoders"])
def test_plots_are_written_twice_alike_as_png_and_pdf(figure: str, folder: Path) -> None:
    made = []
    for turn in ("first", "second"):
        png, pdf = folder / turn / "plot.png", folder / turn / "plot.pdf"
        make_figure(json.dumps({"figure": figure}), png, inputs(folder, figure), pdf=pdf)
        made.append((png.read_bytes(), pdf.read_bytes()))
    assert made[0] == made[1]
    assert made[0][1].startswith(b"%PDF") and b"CreationDate" not in made[0][1]
    with Image.open(png) as picture:
        assert picture.width > 800 and picture.height > 300
        assert np.asarray(picture.convert("L")).std() > 5


def test_statistics_are_share_hit_and_deviation_over_mean() -> None:
    share, variation = statistics(np.array([0, 2, 4, 6]))
    assert share == 0.75
    assert variation == pytest.approx(np.sqrt(5.0) / 3)
    assert statistics(np.zeros(3)) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("figure", "given", "told"),
    [
        ("fig10", [], "input samples=PATH is missing"),
        ("fig10", ["samples"], "NAME=PATH"),
        ("fig10", ["samples=nowhere.zip"], "no such file"),
        ("fig99", [], "figure"),
    ],
)
def test_bad_input_gets_one_line(figure: str, given: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^[^\n]*{told}[^\n]*$"):
        make_figure(json.dumps({"figure": figure}), tmp_path / "x.png", given)
