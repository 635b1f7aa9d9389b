"""Archives: what is written is read, equal images give equal bytes, and damage is one clear line."""

import hashlib
import multiprocessing
import pickle
import zipfile
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.data import archive as module
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_collections import encoded


def pixels(seed: int, channels: int = 3, size: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, channels), dtype=np.uint8)


def write(path: Path, images: list[np.ndarray], names: list[str] | None = None) -> Path:
    with module.ArchiveWriter(path, images[0].shape[2]) as archive:
        for index, image in enumerate(images):
            archive.add(names[index] if names else module.image_name(index), image)
    return path


def zip_of(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([1, 3]), size=st.integers(1, 20), count=st.integers(1, 5)
)
def test_images_are_read_as_they_were_written(tmp_path_factory, seed, channels, size, count) -> None:
    images = [pixels(seed + index, channels, size) for index in range(count)]
    archive = module.ImageArchive(write(tmp_path_factory.mktemp("archive") / "a.zip", images))
    assert (len(archive), archive.channels, archive.resolution) == (count, channels, size)
    for index, image in enumerate(images):
        assert np.array_equal(archive.read(index), image)
    expected = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    assert torch.equal(archive.tensor(), expected)
    assert torch.equal(archive.tensor([count - 1, 0]), expected[[count - 1, 0]])


def test_equal_images_give_equal_bytes_in_an_uncompressed_zip(tmp_path: Path) -> None:
    images = [pixels(index) for index in range(3)]
    first, second = write(tmp_path / "a.zip", images), write(tmp_path / "b.zip", images)
    assert first.read_bytes() == second.read_bytes()
    with zipfile.ZipFile(first) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.namelist() == [f"00000/img0000000{index}.png" for index in range(3)]
    assert module.image_name(12345) == "00012/img00012345.png"


@pytest.mark.parametrize(
    ("name", "image", "line"),
    [
        ("y.png", pixels(1), "channels"),
        ("x.png", pixels(0)[:, :, 0], "already"),
        ("y.png", np.zeros((8, 8, 1), np.float32), "uint8"),
    ],
)
def test_an_interrupted_write_leaves_the_old_archive(tmp_path: Path, name: str, image: np.ndarray, line: str) -> None:
    for before in (None, b"the old archive"):
        if before is not None:
            (tmp_path / "a.zip").write_bytes(before)
        with pytest.raises(ValueError, match=line), module.ArchiveWriter(tmp_path / "a.zip", 1) as archive:
            archive.add("x.png", pixels(0)[:, :, 0])  # gray may lack its channel dimension
            archive.add(name, image)
        assert [path.read_bytes() for path in tmp_path.iterdir()] == ([] if before is None else [before])


def test_several_archives_are_one_sequence_in_the_given_order(tmp_path: Path) -> None:
    images = [pixels(index) for index in range(4)]
    late = write(tmp_path / "a.zip", images[2:])
    early = write(tmp_path / "b.zip", images[:2], ["z.png", "y.png"])
    archive = module.ImageArchive([early, late])
    assert archive.names == ["y.png", "z.png", module.image_name(0), module.image_name(1)]
    assert np.array_equal(archive.tensor().permute(0, 2, 3, 1).numpy(), np.stack([images[i] for i in (1, 0, 2, 3)]))


def test_foreign_archives_are_read(tmp_path: Path) -> None:
    """EDM2's and other tools': sub-folders, JPEGs, deflated members, a palette, other files among them."""
    colours = Image.fromarray(pixels(0))
    members = {
        "dataset.json": b'{"labels": null}',
        "b/one.JPG": encoded(colours, "jpeg"),
        "a/two.png": encoded(colours),
        "c/three.png": encoded(colours.convert("P", palette=Image.Palette.ADAPTIVE)),
        "c/gray.png": encoded(colours.convert("L")),
    }
    archive = module.ImageArchive(zip_of(tmp_path / "a.zip", members, zipfile.ZIP_DEFLATED))
    assert archive.names == ["a/two.png", "b/one.JPG", "c/gray.png", "c/three.png"]
    assert archive.tensor().shape == (4, 3, 8, 8)
    assert np.array_equal(archive.read(2)[:, :, 0], np.asarray(colours.convert("L")))


GRAY, LARGE, NOISE = map(encoded, (Image.new("L", (8, 8)), Image.new("L", (16, 16)), Image.fromarray(pixels(0))))


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(b"no zip"), "not a readable zip"),
        (lambda path: path.write_bytes(write(path, [pixels(0)]).read_bytes()[:-30]), "not a readable zip"),
        (lambda path: zip_of(path, {}), "contains no images"),
        (lambda path: zip_of(path, {"a.txt": b"text"}), "contains no images"),
        (lambda path: zip_of(path, {"a.png": b"text"}), "a.png: not a readable image"),
        (lambda path: zip_of(path, {"a.png": NOISE, "b.png": NOISE[:60]}), "b.png: not a readable image"),
        (lambda path: zip_of(path, {"a.png": encoded(Image.new("L", (4, 5)))}), "a.png: 4x5"),
        (lambda path: zip_of(path, {"a.png": GRAY, "b.png": LARGE}), "b.png: 16x16, but the first image is 8x8"),
        (lambda path: zip_of(path, {"a.png": GRAY, "b.png": NOISE}), "b.png: in colour"),
    ],
)
def test_unusable_archives_are_one_line_naming_the_file(tmp_path: Path, make: object, line: str) -> None:
    path = tmp_path / "a.zip"
    make(path)  # type: ignore[operator]
    with pytest.raises(InputError, match=line) as error:
        module.ImageArchive(path).tensor()
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_threads_and_forked_processes_read_one_archive_which_survives_pickling(tmp_path: Path) -> None:
    archive = module.ImageArchive(write(tmp_path / "a.zip", [pixels(index, 1) for index in range(50)]))
    with ThreadPoolExecutor(8) as threads:
        read = list(threads.map(archive.read, list(range(50)) * 4))
    with ProcessPoolExecutor(2, multiprocessing.get_context("fork")) as pool:
        read += pool.map(archive.read, range(50))
    read += map(pickle.loads(pickle.dumps(archive)).read, range(50))
    assert all(np.array_equal(image, pixels(index % 50, 1)) for index, image in enumerate(read))


def test_the_content_digest_is_of_pixels_not_of_encoding_or_names(tmp_path: Path) -> None:
    images = [pixels(index) for index in range(3)]
    ours = module.content_digest(module.ImageArchive(write(tmp_path / "a.zip", images)))
    theirs = {f"x{index}.bmp": encoded(Image.fromarray(image), "bmp") for index, image in enumerate(images)}
    assert module.content_digest(module.ImageArchive(zip_of(tmp_path / "b.zip", theirs))) == ours
    assert module.content_digest(module.ImageArchive(write(tmp_path / "c.zip", images[::-1]))) != ours
    independent = hashlib.sha256()
    for index, image in enumerate(images):
        shape = b"".join(side.to_bytes(8, "little") for side in (8, 8, 3))
        independent.update(index.to_bytes(8, "little") + hashlib.sha256(shape + image.tobytes()).digest())
    assert independent.hexdigest() == ours


def test_ranges_and_channels_are_converted_and_numbers_that_are_not_finite_refused() -> None:
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    assert torch.equal(module.to_uint8(module.to_model(levels)), levels)
    assert (module.to_model(levels).min(), module.to_model(levels).max()) == (-1, 1)
    assert torch.equal(
        module.to_uint8(torch.tensor([-9.0, 9.0, 0.001])), torch.tensor([0, 255, 128], dtype=torch.uint8)
    )
    assert torch.equal(module.to_unit(torch.tensor([0, 51, 255], dtype=torch.uint8)), torch.tensor([0.0, 0.2, 1.0]))
    gray, colour = torch.rand(2, 1, 4, 4), torch.rand(2, 3, 4, 4)
    assert torch.equal(module.to_rgb(gray), torch.cat([gray] * 3, 1)) and torch.equal(module.to_rgb(colour), colour)
    for number in (float("nan"), float("inf"), -float("inf")):
        colour[1, 2, 3, 0] = number
        with pytest.raises(InputError, match="NaN or infinite"):
            module.to_uint8(colour)
