"""Hugging Face datasets on disk as raw collections: arrow files and parquet, whole, in splits, damaged, hostile."""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.data import huggingface
from pipeline.data.decode import BadImage
from pipeline.data.listing import raw_files
from pipeline.data.prepare import prepare
from pipeline.data.sources import RawImages, open_source
from pipeline.settings.dataset import Dataset, HuggingFaceSource

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

WHERE = "datasets.ffhq.source"
IMAGE = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((8, 8, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def table(values: range) -> "pyarrow.Table":
    """Rows as the package `datasets` stores images: gray of these values, and a label."""
    images = [{"bytes": png(value), "path": f"{value}.png"} for value in values]
    return pyarrow.table({"image": pyarrow.array(images, IMAGE), "label": list(values)})


def write_arrow(path: Path, rows: "pyarrow.Table", batch: int = 3) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with pyarrow.ipc.new_stream(path, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=batch)
    return path


def saved(folder: Path, values: range) -> Path:
    """What `save_to_disk` leaves: two files, notes in JSON, and what `map` kept of earlier work."""
    middle = len(values) // 2
    for number, part in enumerate((values[:middle], values[middle:])):
        write_arrow(folder / f"data-{number:05d}-of-00002.arrow", table(part))
    for name in ("dataset_info.json", "state.json"):
        (folder / name).write_text("{}")
    write_arrow(folder / "cache-0123456789abcdef.arrow", table(range(200, 203)))
    return folder


def source(path: Path, **keys: str) -> HuggingFaceSource:
    return HuggingFaceSource.model_validate({"kind": "huggingface", "path": path, **keys})


def grays(images: RawImages) -> list[int]:
    return [int(np.asarray(images.image(name, 3))[0, 0, 0]) for name in images.names()]


def test_a_saved_folder_is_read_in_the_order_of_its_rows(tmp_path: Path) -> None:
    images = open_source(source(saved(tmp_path / "cats", range(11))), WHERE)["all"]
    assert grays(images) == list(range(11))
    assert images.names()[0] == "data-00000-of-00002.arrow:000000000"
    assert [file.name for file in raw_files(source(tmp_path / "cats"), WHERE)] == [
        "data-00000-of-00002.arrow",
        "data-00001-of-00002.arrow",
    ]


def test_parquet_files_are_read_by_groups_of_rows_in_any_order(tmp_path: Path) -> None:
    parquet.write_table(table(range(10)), tmp_path / "train-00000-of-00002.parquet", row_group_size=4)
    parquet.write_table(table(range(10, 15)), tmp_path / "train-00001-of-00002.parquet")
    images = open_source(source(tmp_path), WHERE)["all"]
    assert grays(images) == list(range(15))
    for name in reversed(images.names()):
        images.image(name, 3)
    plain = tmp_path / "plain.parquet"
    parquet.write_table(pyarrow.table({"picture": [png(3), png(4)]}), plain)
    assert grays(open_source(source(plain, column="picture"), WHERE)["all"]) == [3, 4]


def test_splits_are_folders_or_the_beginnings_of_names(tmp_path: Path) -> None:
    for split, values in {"train": range(6), "test": range(6, 9)}.items():
        saved(tmp_path / "saved" / split, values)
        (tmp_path / "hub" / "data").mkdir(parents=True, exist_ok=True)
        parquet.write_table(table(values), tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    for name in ("saved", "hub"):
        parts = open_source(source(tmp_path / name, split="train", validation_split="test"), WHERE)
        assert {part: grays(images) for part, images in parts.items()} == {
            "train": list(range(6)),
            "validation": [6, 7, 8],
        }
        assert grays(open_source(source(tmp_path / name, split="test"), WHERE)["all"]) == [6, 7, 8]
        with pytest.raises(InputError, match=rf"^{WHERE}\.split: .* contains test, train; choose one of them$"):
            open_source(source(tmp_path / name), WHERE)
        with pytest.raises(InputError, match=rf"^{WHERE}\.split: .* has no split 'val'; use test, train$"):
            open_source(source(tmp_path / name, split="val"), WHERE)


def test_a_dataset_is_prepared_from_it_in_several_processes(tmp_path: Path) -> None:
    told = {"path": str(saved(tmp_path / "cats" / "train", range(40)).parent), "kind": "huggingface"}
    saved(tmp_path / "cats" / "test", range(40, 44))
    told |= {"split": "train", "validation_split": "test"}
    dataset = Dataset.model_validate({"source": told, "resolution": 8, "split": {"rule": "source"}})
    archives = tmp_path / "train.zip", tmp_path / "validation.zip"
    manifest = prepare(dataset, *archives, workers=2)
    assert (manifest["train"]["count"], manifest["validation"]["count"]) == (40, 4)
    assert manifest["skipped"] == []


def test_a_row_without_bytes_is_skipped_and_its_path_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(1))
    rows = [{"bytes": None, "path": str(secret)}, None, {"bytes": png(2), "path": None}, {"bytes": b"x", "path": None}]
    parquet.write_table(pyarrow.table({"image": pyarrow.array(rows, IMAGE)}), tmp_path / "a.parquet")
    images = open_source(source(tmp_path / "a.parquet"), WHERE)["all"]
    reasons = []
    for name in images.names():
        try:
            images.image(name, 3)
            reasons.append("")
        except BadImage as error:
            reasons.append(str(error).partition(":")[0])
    assert reasons == [
        "no bytes",
        "no bytes",
        "",
        "not an image in a known format (PNG, JPEG, WEBP, BMP, GIF, TIFF, PPM)",
    ]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_names_of_columns_from_a_damaged_schema_leave_the_error_one_short_line(tmp_path: Path, name: str) -> None:
    names = [f"a\nb{number}" for number in range(400)]
    rows = pyarrow.table({"image": pyarrow.StructArray.from_arrays([pyarrow.array([1])] * 2, ["by\ntes", "path"])})
    for number in names:
        rows = rows.append_column(number, [[1]])
    path = tmp_path / name
    parquet.write_table(rows, path) if name == "a.parquet" else write_arrow(path, rows)
    for column in ("image", "picture"):
        with pytest.raises(InputError, match=rf"^{WHERE}\.column: .*{name}: ") as error:
            open_source(source(path, column=column), WHERE)["all"].names()
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_truncated_file_and_a_wrong_column_are_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    parquet.write_table(table(range(9)), path) if name == "a.parquet" else write_arrow(path, table(range(9)))
    for column, told in (("picture", "no column 'picture'"), ("label", "the column 'label' contains int64")):
        with pytest.raises(InputError, match=rf"^{WHERE}\.column: .*{name}: {told}"):
            open_source(source(path, column=column), WHERE)["all"].names()
    whole = path.read_bytes()
    for length in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(
            InputError, match=rf"^{WHERE}\.path: .*{name}: not a readable \w+ file .*; download it again$"
        ):
            open_source(source(path), WHERE)["all"].names()
    if name == "a.arrow":  # without its end mark, between two groups, the library would accept the rest as whole
        path.write_bytes(whole[: -len(huggingface.END)])
        with pytest.raises(InputError, match="truncated"):
            open_source(source(path), WHERE)["all"].names()


def test_a_group_of_rows_that_declares_too_much_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write_table(table(range(9)), tmp_path / "a.parquet")
    images = open_source(source(tmp_path / "a.parquet"), WHERE)["all"]
    monkeypatch.setattr(huggingface, "LARGEST_GROUP", 100)
    with pytest.raises(BadImage, match=r"^too large: \d+ bytes in a row group, over 100$"):
        images.image(images.names()[0], 3)
    monkeypatch.setattr(huggingface, "LARGEST_GROUP", 2**30)
    monkeypatch.setattr(huggingface, "LARGEST_FILE", 10)
    with pytest.raises(BadImage, match=r"^too large: \d+ bytes, over 10$"):
        images.image(images.names()[0], 3)


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"^{WHERE}\.path: /no/such does not exist; the folder of"):
        raw_files(source(Path("/no/such")), WHERE)
    with pytest.raises(InputError, match="contains no data files"):
        raw_files(source(tmp_path), WHERE)
    with pytest.raises(ValueError, match="split: validation_split needs another split"):
        source(tmp_path, validation_split="test")


def test_without_pyarrow_one_line_says_what_to_install(tmp_path: Path) -> None:
    parquet.write_table(table(range(2)), tmp_path / "a.parquet")
    told = json.dumps({"kind": "huggingface", "path": str(tmp_path / "a.parquet")})
    code = (
        "import json, sys; sys.modules['pyarrow'] = None; from pipeline.data.sources import open_source;"
        "from pipeline.settings.dataset import HuggingFaceSource as Source;"
        f"open_source(Source.model_validate(json.loads({told!r})), 'x')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    last = done.stderr.splitlines()[-1]
    assert last.endswith("x: reading a Hugging Face dataset needs pyarrow; run `pip install pyarrow`")
