"""Hugging Face datasets on disk as raw collections: arrow files and parquet, whole, in splits, damaged, hostile."""

import sys
from pathlib import Path

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data import huggingface
from bright_pipeline.data.decode import BadImage
from bright_pipeline.data.listing import raw_files
from bright_pipeline.data.sources import RawImages, open_source
from bright_pipeline.settings.dataset import HuggingFaceSource
from PIL import Image
from small_collections import dataset, encoded, prepared

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

WHERE = "datasets.ffhq.source"
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def png(value: int) -> bytes:
    return encoded(Image.fromarray(np.full((8, 8, 3), value, np.uint8)))


def table(values: range) -> "pyarrow.Table":
    """Rows as the package `datasets` stores images: gray of these values, and a label."""
    images = [{"bytes": png(value), "path": f"{value}.png"} for value in values]
    return pyarrow.table({"image": pyarrow.array(images, IMAGE), "label": list(values)})


def write(path: Path, rows: "pyarrow.Table", batch: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(rows, path, row_group_size=batch)
        return path
    with pyarrow.ipc.new_stream(path, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=batch)
    return path


def saved(folder: Path, values: range) -> Path:
    """What `save_to_disk` leaves: two files, notes in JSON, and what `map` kept of earlier work."""
    middle = len(values) // 2
    for number, part in enumerate((values[:middle], values[middle:])):
        write(folder / f"data-{number:05d}-of-00002.arrow", table(part))
    for name in ("dataset_info.json", "state.json"):
        (folder / name).write_text("{}")
    write(folder / "cache-0123456789abcdef.arrow", table(range(200, 203)))
    return folder


def source(path: Path, **keys: str) -> HuggingFaceSource:
    return HuggingFaceSource.model_validate({"kind": "huggingface", "path": path, **keys})


def opened(path: Path, **keys: str) -> RawImages:
    return open_source(source(path, **keys), WHERE)["all"]


def grays(images: RawImages) -> list[int]:
    return [int(np.asarray(images.image(name, 3))[0, 0, 0]) for name in images.names()]


def test_a_saved_folder_is_read_in_the_order_of_its_rows(tmp_path: Path) -> None:
    images = opened(saved(tmp_path / "cats", range(11)))
    assert grays(images) == list(range(11))
    assert images.names()[0] == "data-00000-of-00002.arrow:000000000"
    assert [file.name for file in raw_files(source(tmp_path / "cats"), WHERE)] == [
        "data-00000-of-00002.arrow",
        "data-00001-of-00002.arrow",
    ]


def test_parquet_files_are_read_by_groups_of_rows_in_any_order(tmp_path: Path) -> None:
    write(tmp_path / "train-00000-of-00002.parquet", table(range(10)), 4)
    write(tmp_path / "train-00001-of-00002.parquet", table(range(10, 15)))
    images = opened(tmp_path)
    assert grays(images) == list(range(15))
    for name in reversed(images.names()):
        images.image(name, 3)
    plain = write(tmp_path / "plain.parquet", pyarrow.table({"picture": [png(3), png(4)]}))
    assert grays(opened(plain, column="picture")) == [3, 4]


def test_splits_are_folders_or_the_beginnings_of_names(tmp_path: Path) -> None:
    for split, values in {"train": range(6), "test": range(6, 9)}.items():
        saved(tmp_path / "saved" / split, values)
        write(tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet", table(values))
    for name in ("saved", "hub"):
        parts = open_source(source(tmp_path / name, split="train", validation_split="test"), WHERE)
        assert (grays(parts["train"]), grays(parts["validation"])) == ([*range(6)], [6, 7, 8])
        assert grays(opened(tmp_path / name, split="test")) == [6, 7, 8]
        with pytest.raises(InputError, match=rf"^{WHERE}\.split: .* contains test, train; choose one of them$"):
            open_source(source(tmp_path / name), WHERE)
        with pytest.raises(InputError, match=rf"^{WHERE}\.split: .* has no split 'val'; use test, train$"):
            open_source(source(tmp_path / name, split="val"), WHERE)


def test_a_dataset_is_prepared_from_it_in_several_processes(tmp_path: Path) -> None:
    for split, values in (("train", range(40)), ("test", range(40, 44))):
        saved(tmp_path / "cats" / split, values)
    source = {"kind": "huggingface", "path": str(tmp_path / "cats"), "split": "train", "validation_split": "test"}
    train, validation, manifest = prepared(tmp_path, dataset(source, resolution=8, split={"rule": "source"}), 2)
    assert (len(train), len(validation), manifest["skipped"]) == (40, 4, [])


def test_a_row_without_bytes_is_skipped_and_its_path_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(1))
    rows = [{"bytes": None, "path": str(secret)}, None, {"bytes": png(2), "path": None}, {"bytes": b"x", "path": None}]
    images = opened(write(tmp_path / "a.parquet", pyarrow.table({"image": pyarrow.array(rows, IMAGE)})))
    reasons = []
    for name in images.names():
        try:
            images.image(name, 3)
            reasons.append("")
        except BadImage as error:
            reasons.append(str(error).partition(":")[0])
    assert reasons[:3] == ["no bytes", "no bytes", ""] and reasons[3].startswith("not an image in a known format")


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_truncated_file_and_a_wrong_column_are_one_short_line(tmp_path: Path, name: str) -> None:
    many = pyarrow.table({"image": pyarrow.StructArray.from_arrays([pyarrow.array([1])] * 2, ["by\ntes", "path"])})
    for number in range(400):  # as in a damaged schema
        many = many.append_column(f"a\nb{number}", [[1]])
    rows, path = table(range(9)), tmp_path / name
    for written, column, told in (
        (many, "image", ""),
        (many, "picture", ""),
        (rows, "picture", "no column 'picture'"),
        (rows, "label", "the column 'label' contains int64"),
    ):
        with pytest.raises(InputError, match=rf"^{WHERE}\.column: .*{name}: {told}") as error:
            opened(write(path, written), column=column).names()
        assert "\n" not in str(error.value) and len(str(error.value)) < 600
    whole, told = path.read_bytes(), rf"^{WHERE}\.path: .*{name}: not a readable \w+ file .*; download it again$"
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=told):
            opened(path).names()
    if name == "a.arrow":  # without its end mark, between two groups, the library would accept the rest as whole
        path.write_bytes(whole[: -len(huggingface.END)])
        with pytest.raises(InputError, match="truncated"):
            opened(path).names()


def test_a_group_of_rows_that_declares_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "LARGEST", 10)
    for name, told in (("a.parquet", " in a row group, over 10"), ("a.arrow", ", over 10")):
        images = opened(write(tmp_path / name, table(range(9))))
        with pytest.raises(BadImage, match=rf"^too large: \d+ bytes{told}$"):
            images.image(images.names()[0], 3)


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{WHERE}\.path: /no/such does not exist; the folder of"):
        raw_files(source(Path("/no/such")), WHERE)
    with pytest.raises(InputError, match="contains no data files"):
        raw_files(source(tmp_path), WHERE)
    with pytest.raises(ValueError, match="split: validation_split needs another split"):
        source(tmp_path, validation_split="test")


def test_without_pyarrow_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.parquet", table(range(2)))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match="x: reading a Hugging Face dataset needs pyarrow; run `pip install pyarrow`"):
        open_source(source(path), "x")
