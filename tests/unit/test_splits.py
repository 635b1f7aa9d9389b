"""Which images are for validation: by place, hash, list; never those of the training split."""

import hashlib
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_collections import dataset, folder_of, names_of, picture, prepared

from pipeline.base.errors import InputError
from pipeline.data.prepare import validation_indices
from pipeline.settings.dataset import Split


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
        assert "2 validation images have the pixels of training images, such as 009.png those of 003.png" in caplog.text


def test_copies_can_be_refused(leaking: Path, tmp_path: Path) -> None:
    line = r"datasets\.cats\.split: 2 validation images have .*009\.png those of 003\.png; duplicates: keep_in_train"
    with pytest.raises(InputError, match=line):
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
    settings = dataset(source, split={"rule": "list", "list": listing})
    with pytest.raises(InputError, match=r"split.list: .* 1 of its names .* 'nowhere.png'.* like '000.png'"):
        prepared(tmp_path, settings)
    listing.unlink()
    with pytest.raises(InputError, match=r"split.list: .*not a readable text file"):
        prepared(tmp_path, settings)


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
    line = r"datasets\.cats\.split\.tuning: must be below the number of training images, 8"
    with pytest.raises(InputError, match=line):
        prepared(tmp_path, dataset(source, split=FOUR | {"tuning": 8}))
