"""The figures: the right images in the right places, the same bytes twice, one line for bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.data.archive import ArchiveWriter
from pipeline.figures.codes import statistics
from pipeline.figures.images import GAP, HEADING_HEIGHT, MARGIN, TITLE_HEIGHT, label_width
from pipeline.make_figure import make_figure

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


def inputs(folder: Path, figure: str) -> list[str]:
    samples = [f"samples={folder / 'first.zip'}", f"samples={folder / 'second.zip'}"]
    validation = f"validation={folder / 'validation.zip'}"
    reconstructions = folder / "reconstructions.zip"
    return {
        "fig01": [validation, f"reconstructions={reconstructions}", *samples],
        "fig06": [validation, f"reconstructions:8x8x4={reconstructions}", f"reconstructions:8x8x8={reconstructions}"],
        "fig08": [f"samples:ours={folder / 'first.zip'}", f"samples:real={folder / 'second.zip'}"],
        "fig10": samples,
        "fig11": [
            f"neighbours={folder / 'neighbours.csv'}",
            f"samples={folder / 'first.zip'}",
            f"train={folder / 'validation.zip'}",
        ],
        "groups": [f"images={folder / 'first.zip'}", f"columns={folder / 'columns.json'}"],
        "fig05b": [f"hits={folder / 'hits.npz'}"],
        "curves_autoencoders": [f"history:main={folder / 'main.csv'}", f"history:other={folder / 'other.csv'}"],
    }[figure]


def grid_size(rows: int, columns: int, labels: list[str], titled: bool, headed: bool = False) -> tuple[int, int]:
    """Width and height in pixels."""
    width = 2 * MARGIN + label_width(labels) + columns * CELL + (columns - 1) * GAP
    above = titled * TITLE_HEIGHT + headed * HEADING_HEIGHT
    return width, 2 * MARGIN + above + rows * CELL + (rows - 1) * GAP


@pytest.mark.parametrize(
    ("figure", "size"),
    [
        ("fig01", grid_size(3, 8, ["Original", "Reconstruction"], titled=True)),
        ("fig06", grid_size(3, 8, ["Original", "8x8x4"], titled=True)),
        ("fig08", grid_size(4, 8, ["ours", "real"], titled=True)),
        ("fig11", grid_size(4, 4, [], titled=True, headed=True)),
        ("groups", grid_size(6, 2, [], titled=True, headed=True)),
        ("fig10", grid_size(8, 8, [], titled=True)),
    ],
)
def test_pictures_have_whole_pixels_and_equal_bytes_twice(figure: str, size: tuple[int, int], folder: Path) -> None:
    made = []
    for turn in ("first", "second"):
        png = folder / turn / f"{figure}.png"
        make_figure(json.dumps({"figure": figure, "title": "Title"}), png, inputs(folder, figure))
        made.append(png.read_bytes())
    assert made[0] == made[1]
    with Image.open(png) as picture:
        assert picture.size == size
        pixels = np.asarray(picture.convert("RGB"))
    left, top = size[0] - MARGIN - CELL, size[1] - MARGIN - CELL
    last = pixels[top : top + CELL, left : left + CELL]
    assert (last[::4, ::4] == last[3::4, 3::4]).all(), "an image's pixel is a square of equal pixels"
    assert (last[..., 0] == last[..., 1]).all() and (last[..., 1] == last[..., 2]).all(), "gray stays gray"
    assert last.std() > 10


def test_samples_are_the_first_ones_in_order_across_shards(folder: Path) -> None:
    png = folder / "fig10.png"
    make_figure('{"figure": "fig10"}', png, inputs(folder, "fig10"))
    from pipeline.data.archive import ImageArchive

    archive = ImageArchive([folder / "first.zip", folder / "second.zip"])
    pixels = np.asarray(Image.open(png).convert("L"))
    for index in (0, 9, 63):
        row, column = divmod(index, 8)
        y, x = (MARGIN + place * (CELL + GAP) for place in (row, column))
        assert (pixels[y : y + CELL : 4, x : x + CELL : 4] == archive.read(index)[..., 0]).all()


def test_the_nearest_training_images_stand_in_their_order_to_the_right_of_each_generated_one(folder: Path) -> None:
    png = folder / "fig09.png"
    make_figure('{"figure": "fig09"}', png, inputs(folder, "fig11"))
    from pipeline.data.archive import ImageArchive

    generated, train = ImageArchive(folder / "first.zip"), ImageArchive(folder / "validation.zip")
    pixels = np.asarray(Image.open(png).convert("L"))
    for row in range(len(NAMES)):
        y = MARGIN + HEADING_HEIGHT + row * (CELL + GAP)
        for column, expected in enumerate([generated.read(row), *(train.read(rank) for rank in (1, 2, 3))]):
            x = MARGIN + column * (CELL + GAP)
            assert (pixels[y : y + CELL : 4, x : x + CELL : 4] == expected[..., 0]).all()


@pytest.mark.parametrize("figure", ["fig05b", "curves_autoencoders"])
def test_plots_are_written_twice_alike_as_png_and_pdf(figure: str, folder: Path) -> None:
    made = []
    for turn in ("first", "second"):
        png, pdf = folder / turn / "plot.png", folder / turn / "plot.pdf"
        make_figure(json.dumps({"figure": figure, "title": "Title"}), png, inputs(folder, figure), pdf=pdf)
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
    ("settings", "given", "told"),
    [
        ({"figure": "fig10"}, [], "input samples=PATH is missing"),
        ({"figure": "fig10"}, ["samples"], "NAME=PATH"),
        ({"figure": "fig10"}, ["samples=nowhere.zip"], "no such file"),
        ({"figure": "fig99"}, [], "figure"),
        ({"figure": "curves_diffusion"}, ["history=nowhere.csv"], "no such file"),
    ],
)
def test_bad_input_gets_one_line(settings: dict[str, str], given: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        make_figure(json.dumps(settings), tmp_path / "x.png", given)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_pictures_of_pixels_have_a_pdf_too(folder: Path) -> None:
    make_figure('{"figure": "fig08"}', folder / "x.png", inputs(folder, "fig08"), pdf=folder / "x.pdf")
    assert (folder / "x.pdf").read_bytes().startswith(b"%PDF")


def test_archive_without_images_gets_one_line(folder: Path) -> None:
    with ArchiveWriter(folder / "empty.zip", 1):
        pass
    with pytest.raises(InputError):
        make_figure('{"figure": "fig10"}', folder / "x.png", [f"samples={folder / 'empty.zip'}"])


def test_long_labels_make_room_for_themselves() -> None:
    assert label_width([]) == 0 and label_width(["", ""]) == 0
    assert label_width(["bright", "bright-16x16x16-adversarial"]) > 2 * label_width(["bright"])
