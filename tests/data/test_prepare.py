"""Preparing a collection: skipped files with reasons, crop, resize, the same bytes for any count of workers, splits."""

import gzip
import hashlib
import logging
import os
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import content_digest
from bright_pipeline.data.decode import BadImage, square_pixels
from bright_pipeline.data.fingerprint import split_counts
from bright_pipeline.data.listing import embedded_path
from bright_pipeline.data.prepare import ordered_map, validation_indices
from bright_pipeline.settings.dataset import EmbeddedSource, Split
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from small_collections import dataset, encoded, folder_of, names_of, picture, prepared

GOOD = ["plain.png", 'sub folder/it\'s "deep"/name with spaces and \'quotes".jpg', "ünï.webp"]


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """A realistic folder: odd names, damaged images, and files that are not images."""
    folder = tmp_path / "wild"
    (folder / GOOD[1]).parent.mkdir(parents=True)
    for index, name in enumerate(GOOD):
        picture(index).save(folder / name)
    content = encoded(picture(7, (200, 200)), "jpeg")
    (folder / "truncated.jpg").write_bytes(content[: len(content) // 2])
    (folder / "empty.png").touch()
    (folder / GOOD[1]).with_name("text.png").write_text("I am a text file, whatever my name says.\n")
    (folder / "notes.txt").write_text("no image by its name")
    return folder


def test_a_wild_folder_is_prepared_and_each_skipped_file_named_with_why(wild, tmp_path, caplog, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("bright_pipeline"), "propagate", True)
    with caplog.at_level(logging.INFO, "bright_pipeline"):
        train, validation, manifest = prepared(tmp_path / "out", dataset(wild))
    assert manifest["names"] == {"train": GOOD[:1], "validation": GOOD[1:]}
    assert (len(train), len(validation)) == (1, 2)
    found = {skipped["name"]: skipped["reason"].partition(":")[0] for skipped in manifest["skipped"]}
    assert list(found) == ["empty.png", 'sub folder/it\'s "deep"/text.png', "truncated.jpg"]
    assert (manifest["ignored_files"], manifest["ignored_types"]) == (1, {".txt": 1})
    for name, reason in found.items():
        assert f"skipped {name}: {reason}" in caplog.text
    assert "prepared 1 image for training and 2 for validation; 3 skipped, 1 other file ignored" in caplog.text


@pytest.mark.parametrize("workers", [1, 2])
def test_a_bad_image_can_be_made_an_error(wild: Path, tmp_path: Path, workers: int) -> None:
    with pytest.raises(InputError, match=r"^datasets.cats.source: empty.png: empty.*on_bad_image"):
        prepared(tmp_path / "out", dataset(wild, on_bad_image="error"), workers)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_bytes_do_not_depend_on_the_workers(wild: Path, tmp_path: Path) -> None:
    for index in range(80):
        picture(index).save(wild / f"more {index}.png")
    manifests = [prepared(tmp_path / str(workers), dataset(wild), workers)[2] for workers in (1, 2)]
    assert manifests[0] == manifests[1]
    for name in ("train.zip", "validation.zip"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_the_manifest_tells_what_was_made_and_how(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", 5)
    train, validation, manifest = prepared(tmp_path, dataset(source, license="CC0", filter="box"))
    for name, archive, count in (("train", train, 3), ("validation", validation, 2)):
        assert manifest[name] == {"count": count, "sha256": content_digest(archive)}
    expected = {"resolution": 16, "channels": 3, "filter": "box", "crop": "center", "license": "CC0", "skipped": []}
    expected |= {"source": {"kind": "folder", "path": str(source)}, "pillow": Image.__version__}
    assert {key: manifest[key] for key in expected} == expected


@pytest.mark.parametrize("name", ["box", "bilinear", "hamming", "bicubic", "lanczos"])
def test_center_crop_and_resize_are_pillows(tmp_path: Path, name: str) -> None:
    image = picture(3, (37, 22))
    expected = image.crop((7, 0, 29, 22)).resize((16, 16), Image.Resampling[name.upper()])
    assert np.array_equal(square_pixels(image, dataset(tmp_path, filter=name)), np.asarray(expected))


@given(width=st.integers(1, 40), height=st.integers(1, 40))
def test_every_size_becomes_square_or_is_refused(width: int, height: int) -> None:
    image = picture(0, (width, height)).convert("L")
    settings = [dataset(Path("x"), crop=crop, channels=1) for crop in ("center", "none", "pad")]
    assert square_pixels(image, settings[0]).shape == (16, 16, 1)
    for setting, possible in ((settings[1], width == height), (settings[2], max(width, height) <= 16)):
        if possible:
            assert square_pixels(image, setting).shape == (16, 16, 1)
        else:
            with pytest.raises(BadImage, match=f"{width}x{height}"):
                square_pixels(image, setting)


@given(width=st.integers(1, 16), height=st.integers(1, 16))
def test_padding_keeps_every_pixel_and_adds_black(width: int, height: int) -> None:
    image = picture(1, (width, height))
    padded = square_pixels(image, dataset(Path("x"), crop="pad"))
    left, top = (16 - width) // 2, (16 - height) // 2
    assert np.array_equal(padded[top : top + height, left : left + width], np.asarray(image))
    assert padded.astype(int).sum() == np.asarray(image).astype(int).sum()


def test_a_limit_takes_the_first_usable_images(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", 9)
    (source / "001.png").write_bytes(b"")
    for workers in (1, 2):
        manifest = prepared(tmp_path / str(workers), dataset(source, limit=4), workers)[2]
        assert names_of(manifest, "train") == ["000.png", "002.png"]
        assert names_of(manifest, "validation") == ["003.png", "004.png"]


def test_lsun_is_prepared_with_its_own_split(tmp_path: Path) -> None:
    paths = {"path": tmp_path / "church_train_lmdb", "validation_path": tmp_path / "church_val_lmdb"}
    for path, keys in zip(paths.values(), (("a", "c"), ("b", "d")), strict=True):
        path.mkdir()
        with lmdb.open(str(path), map_size=2**24) as environment, environment.begin(write=True) as transaction:
            for key in keys:
                transaction.put(key.encode(), encoded(picture(ord(key)), "webp"))
    manifest = prepared(tmp_path, dataset({"kind": "lmdb", **paths}, split={"rule": "source"}), 2)[2]
    assert manifest["names"] == {"train": ["a", "c"], "validation": ["b", "d"]}
    with pytest.raises(ValueError, match=r"split.rule: must be source, because the source has a validation_path"):
        dataset({"kind": "lmdb", **paths})


def test_the_embedded_images_are_padded_to_32_by_32(tmp_path: Path) -> None:
    how = {"resolution": 32, "channels": 1, "crop": "pad", "limit": 300, "split": FOUR | {"validation": 100}}
    train, validation, manifest = prepared(tmp_path, dataset({"kind": "embedded"}, **how))
    assert (len(train), len(validation)) == (200, 100)
    assert (train.resolution, train.channels) == (32, 1)
    assert manifest["train"] == {"count": 200, "sha256": content_digest(train)}
    raw = np.frombuffer(gzip.decompress(embedded_path(EmbeddedSource(kind="embedded")).read_bytes())[16:], np.uint8)
    padded = np.pad(raw.reshape(10_000, 28, 28), ((0, 0), (2, 2), (2, 2)))
    assert np.array_equal(train.tensor()[:, 0].numpy(), padded[:200])
    assert np.array_equal(validation.tensor()[:, 0].numpy(), padded[200:300])


def double(number: int) -> int:
    return 2 * number


def die(number: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_parallel_map_keeps_the_order_and_reads_little_ahead(workers: int) -> None:
    taken: list[int] = []

    def numbers() -> Any:
        for number in range(1000):
            taken.append(number)
            yield number

    results = ordered_map(double, numbers(), workers)
    assert [next(results) for _ in range(10)] == list(range(0, 20, 2))
    assert len(taken) <= 10 + 4 * workers
    results.close()


def test_a_killed_worker_is_one_line() -> None:
    with pytest.raises(InputError, match=r"--workers: a worker process was killed"):
        list(ordered_map(die, range(3), 2))


# Splits: by place, hash, list; no validation image is a training image.


@pytest.fixture
def leaking(tmp_path: Path) -> Path:
    """Twelve images; of the last four, one is a training image's copy, and one has its pixels in another format."""
    folder = folder_of(tmp_path / "leaking", 12)
    (folder / "009.png").write_bytes((folder / "003.png").read_bytes())
    picture(5).save(folder / "010.bmp")
    (folder / "010.png").unlink()
    return folder


FOUR = {"rule": "last", "validation": 4}
COPIES = [{"validation": "009.png", "train": "003.png"}, {"validation": "010.bmp", "train": "005.png"}]


@pytest.mark.parametrize(("rule", "kept"), [({}, ["008.png", "011.png"]), ({"duplicates": "keep"}, None)])
def test_copies_of_training_images_are_named_and_excluded_from_validation_or_kept(
    leaking: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, rule: dict[str, str], kept: list[str] | None
) -> None:
    with caplog.at_level(logging.WARNING):
        train, validation, manifest = prepared(tmp_path, dataset(leaking, split=FOUR | rule))
    kept = kept or ["008.png", "009.png", "010.bmp", "011.png"]
    assert (len(train), len(validation), manifest["validation"]["count"]) == (8, len(kept), len(kept))
    assert manifest["names"]["validation"] == kept
    assert manifest["duplicates"] == COPIES
    if not rule:
        assert "2 validation images have the pixels of training images" in caplog.text


def test_copies_can_be_refused(leaking: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"datasets\.cats\.split: 2 validation images have .*009\.png those of 003"):
        prepared(tmp_path, dataset(leaking, split=FOUR | {"duplicates": "refuse"}))
    assert not list(tmp_path.glob("*.zip"))


def test_where_all_validation_images_are_training_images_none_is_left(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "same", 3)
    for name in ("003.png", "004.png"):
        (folder / name).write_bytes((folder / "000.png").read_bytes())
    with pytest.raises(InputError, match=r"all 2 validation images have .*; no validation image remains"):
        prepared(tmp_path, dataset(folder))


def test_copies_inside_one_split_stay(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "inside", 6)
    for name, original in (("001", "000"), ("005", "004")):
        (folder / f"{name}.png").write_bytes((folder / f"{original}.png").read_bytes())
    train, validation, manifest = prepared(tmp_path, dataset(folder))
    assert (len(train), len(validation), manifest["duplicates"]) == (4, 2, [])


def test_a_list_names_the_validation_images(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", 5)
    (source / "002.png").rename(source / "a name with spaces .png")
    listing = tmp_path / "validation.txt"
    listing.write_text("000.png\r\n\na name with spaces .png\n", encoding="utf-8-sig")
    manifest = prepared(tmp_path, dataset(source, split={"rule": "list", "list": listing}))[2]
    assert names_of(manifest, "validation") == ["000.png", "a name with spaces .png"]
    assert names_of(manifest, "train") == ["001.png", "003.png", "004.png"]
    listing.write_text("000.png\nnowhere.png\n")
    with pytest.raises(InputError, match=r"split.list: .* 1 of its names .* 'nowhere.png'.* like '000.png'"):
        prepared(tmp_path, dataset(source, split={"rule": "list", "list": listing}))


def test_the_hash_split_is_that_of_the_smallest_hashes(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", 9)
    manifest = prepared(tmp_path, dataset(source, split={"rule": "hash", "validation": 3}))[2]
    everything = [f"{index:03d}.png" for index in range(9)]
    by_hash = sorted(everything, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert names_of(manifest, "validation") == sorted(by_hash[:3])
    assert names_of(manifest, "train") == sorted(by_hash[3:])


@given(count=st.integers(2, 60), validation=st.integers(1, 59), rule=st.sampled_from(["last", "hash"]))
def test_splits_are_disjoint_and_of_the_asked_size(count: int, validation: int, rule: str) -> None:
    names = [f"{index:02d}" for index in range(count)]
    split = Split.model_validate({"rule": rule, "validation": validation})
    if validation >= count:
        with pytest.raises(InputError, match="leave none to train"):
            validation_indices(names, ["all"] * count, split, "datasets.x")
    else:
        chosen = validation_indices(names, ["all"] * count, split, "datasets.x")
        assert len(set(chosen)) == len(chosen) == validation
        assert chosen == sorted(chosen)


def test_nothing_usable_and_nothing_to_train_are_one_line(tmp_path: Path) -> None:
    source = tmp_path / "images"
    source.mkdir()
    with pytest.raises(InputError, match=r"^datasets.cats.source: contains no images"):
        prepared(tmp_path, dataset(source))
    (source / "a.png").touch()
    with pytest.raises(InputError, match="none of its images is usable"):
        prepared(tmp_path, dataset(source))
    picture().save(source / "b.png")
    picture().save(source / "c.png")
    with pytest.raises(InputError, match="2 validation images of 2 usable ones leave none to train"):
        prepared(tmp_path, dataset(source))


def test_tuning_images_are_the_last_training_images_and_no_validation_image(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", 12)
    train, validation, manifest = prepared(tmp_path, dataset(source, split=FOUR | {"tuning": 3}))
    assert (len(train), len(validation)) == (5, 3)
    assert manifest["names"]["train"] == [f"{index:03d}.png" for index in range(5)]
    assert manifest["names"]["validation"] == ["005.png", "006.png", "007.png"]
    with pytest.raises(InputError, match=r"split\.tuning: must be below the number of training images, 8"):
        prepared(tmp_path, dataset(source, split=FOUR | {"tuning": 8}))


def test_a_smaller_collection_has_the_first_training_images_and_the_same_validation_images(tmp_path: Path) -> None:
    source = folder_of(tmp_path / "images", 12)
    settings = dataset(source, split=FOUR | {"train": 3})
    _, _, manifest = prepared(tmp_path, settings)
    assert manifest["names"]["train"] == ["000.png", "001.png", "002.png"]
    assert manifest["names"]["validation"] == [f"{index:03d}.png" for index in range(8, 12)]
    assert split_counts({"images": {"all": 12}}, settings) == {"train": 3, "validation": 4}
