"""Fingerprints of raw collections follow names and contents, and replace files that are missing."""

import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.data import fingerprint as module
from bright_pipeline.data import fingerprint as prints
from bright_pipeline.data.listing import embedded_path, raw_files
from bright_pipeline.engine.run import unfinished
from bright_pipeline.plan.checks import obstacles
from bright_pipeline.settings.dataset import EmbeddedSource, FolderSource, IdxSource, LmdbSource, Source, ZipSource
from bright_pipeline.stages.datasets import raw_images
from finished_plan import tiny_plan, tiny_values
from PIL import Image

pytestmark = pytest.mark.usefixtures("cats")

WHERE = "datasets.cats.source"


def fill(path: Path, files: dict[str, bytes]) -> FolderSource:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return FolderSource(kind="folder", path=path)


def taken(source: Source) -> prints.Fingerprint:
    return prints.fingerprint(raw_files(source, WHERE), WHERE)


SOURCE = FolderSource(kind="folder", path=Path("cats"))
LIST = Path("validation.txt")


@pytest.fixture
def cats(own_folder: Path) -> None:
    """Two pictures in `cats` and a list with one of their names, all with old times."""
    Path("cats", "a").mkdir(parents=True)
    for index, name in enumerate(("a/1.png", "2.png")):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(Path("cats", name))
        os.utime(Path("cats", name), (1, 1))
    LIST.write_text("2.png\n")


FILES = {"a/x y.png": b"one", "b.jpg": b"three", "it's.png": b""}


def test_a_fingerprint_digests_names_sizes_and_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fill(tmp_path / "first", FILES)
    found = taken(source)
    lines = [f"{name}\0{len(FILES[name])} {hashlib.sha256(FILES[name]).hexdigest()}\n" for name in sorted(FILES)]
    sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert (found.files, found.bytes, found.sha256) == (3, 8, sha256)
    other = fill(tmp_path / "second", dict(reversed(FILES.items())) | {"readme.txt": b"no image"})
    os.utime(tmp_path / "second" / "b.jpg", (1, 1))
    assert taken(other) == found, "times, places and other files do not matter"
    monkeypatch.setattr(module, "FILES_AT_A_TIME", 2)
    assert taken(source) == found


def test_unreadable_files_and_odd_names_are_part_of_a_fingerprint(tmp_path: Path) -> None:
    source = fill(tmp_path / "odd", FILES)
    before = taken(source)
    (tmp_path / "odd" / "nowhere.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "odd" / "pipe.png")
    (tmp_path / "odd" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"x")
    after = taken(source)
    assert after.files == 6 and after.sha256 != before.sha256


@pytest.mark.parametrize("kind", ["zip", "idx", "lmdb"])
def test_archives_are_hashed_as_files(tmp_path: Path, kind: str) -> None:
    if kind == "lmdb":
        for name in ("train", "validation"):
            fill(tmp_path / name, {"data.mdb": name.encode()})
        source: Any = LmdbSource(kind="lmdb", path=tmp_path / "train", validation_path=tmp_path / "validation")
        assert taken(source.model_copy(update={"validation_path": None})).files == 1
        path = tmp_path / "validation" / "data.mdb"
    else:
        path = tmp_path / "archive"
        path.write_bytes(b"any content")
        source = ZipSource(kind="zip", path=path) if kind == "zip" else IdxSource(kind="idx", path=path)
        moved = source.model_copy(update={"path": tmp_path / "moved"})
        shutil.copy(path, moved.path)
        assert taken(moved) == taken(source) and taken(source).bytes == 11
    before = taken(source)
    assert before.files == 1 + (kind == "lmdb")
    path.write_bytes(path.read_bytes()[::-1])
    assert taken(source).sha256 != before.sha256


def test_the_embedded_images_have_the_fingerprint_of_their_uncompressed_file() -> None:
    source = EmbeddedSource(kind="embedded")
    path = embedded_path(source)
    content = hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()
    line = f"\0{path.stat().st_size} {content}\n"
    fingerprints = prints.Fingerprints()
    facts = fingerprints.collection(source, WHERE)
    assert facts["sha256"] == hashlib.sha256(line.encode()).hexdigest()
    assert facts["images"] == {"all": 10_000}
    fingerprints.keep()
    assert [path.name[:14] for path in prints.FINGERPRINTS.iterdir()] == ["fashion-mnist-"]


@pytest.fixture
def before(cats: None) -> dict[str, Any]:
    """The facts of these pictures, which a run has stored."""
    return kept()


def looked(**options: Any) -> dict[str, Any]:
    """The facts in a dry run."""
    return prints.Fingerprints(**options).collection(SOURCE, WHERE, LIST)


def kept() -> dict[str, Any]:
    """The facts in a run, which stores them."""
    fingerprints = prints.Fingerprints()
    facts = fingerprints.collection(SOURCE, WHERE, LIST)
    fingerprints.keep()
    return facts


def stored() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in prints.FINGERPRINTS.iterdir()}


def test_a_fingerprint_is_stored_by_keep_and_then_no_file_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = looked()
    assert (facts["files"], facts["images"]) == (2, {"all": 2})
    assert not Path("results").exists()
    assert kept() == facts
    (path,) = prints.FINGERPRINTS.iterdir()
    assert path.name.startswith("cats-")
    assert json.loads(path.read_text())["sha256"] == facts["sha256"]
    monkeypatch.setattr(module, "fingerprint", None)
    assert looked() == facts


@pytest.mark.parametrize("left", ["nothing", "an empty folder", "broken links"])
def test_a_missing_collection_has_its_stored_fingerprint_or_is_absent(before, left, caplog) -> None:
    files = stored() | {prints.LAST_SEEN: prints.LAST_SEEN.read_bytes()}
    shutil.rmtree("cats")
    if left != "nothing":
        Path("cats").mkdir()
    if left == "broken links":
        Path("cats", "1.png").symlink_to("/no/such/disk")
    assert kept() == before
    assert stored() | {prints.LAST_SEEN: prints.LAST_SEEN.read_bytes()} == files
    (line,) = caplog.messages
    assert line.startswith(f"{WHERE}.path: cats ") and line.endswith("; its stored fingerprint is used")
    shutil.rmtree("results")
    assert kept()["absent"] == {"kind": "folder", "path": "cats"}
    assert not prints.FINGERPRINTS.exists()
    assert (prints.missing_files(SOURCE, WHERE) or "").startswith(f"{WHERE}.path: cats ")


@pytest.mark.parametrize("place", ["cats", "cats/a", "files"])
def test_unreadable_folders_and_files_have_their_stored_fingerprint(before, place, monkeypatch) -> None:
    scan = os.scandir

    def refused(path: Any) -> Any:
        if os.fspath(path) == place:
            raise PermissionError(13, "Permission denied", place)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    if place == "files":
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert looked() == before
    if place != "files":
        assert (
            prints.missing_files(SOURCE, WHERE) == f"{WHERE}.path: {place}: not a readable folder (Permission denied)"
        )


def test_a_changed_image_of_the_same_size_is_another_collection(before, caplog) -> None:
    content = bytearray(Path("cats/2.png").read_bytes())
    content[-1] ^= 1
    Path("cats/2.png").write_bytes(content)
    after = kept()
    assert after["sha256"] != before["sha256"]
    (line,) = caplog.messages
    assert line.startswith(f"{WHERE}: its files differ")
    assert looked() == after


@pytest.mark.parametrize("times", ["of a touched image", None, "", "<<<<<<< HEAD"])
def test_after_a_touch_in_a_clone_and_with_damaged_times_images_are_read_once_more(before, times, monkeypatch) -> None:
    files = stored()
    if times == "of a touched image":
        Path("cats/2.png").touch()
    elif times is None:
        prints.LAST_SEEN.unlink()
    else:
        prints.LAST_SEEN.write_text(times)
    assert kept() == before
    assert stored() == files, "git sees no change"
    monkeypatch.setattr(module, "fingerprint", None)
    assert looked() == before


def test_a_fingerprint_of_other_images_or_a_damaged_one_is_not_used() -> None:
    ours = kept()
    (path,) = prints.FINGERPRINTS.iterdir()
    found = prints.read_fingerprint(path)
    assert found is not None
    prints.write_fingerprint(path, found.model_copy(update={"sha256": "0" * 64}))  # as from another clone
    assert looked()["sha256"] == ours["sha256"]
    damaged = path.read_text().replace("0" * 64, "1" * 64)
    for content in (damaged, "", "<<<<<<< HEAD\n{}", '{"sha256": 1}', "[]"):
        path.write_text(content)
        with pytest.raises(InputError, match=f"^{path}: .*; restore it with git, or delete it"):
            looked()


def test_a_cluster_job_trusts_stored_fingerprints(before: dict[str, Any]) -> None:
    Image.new("RGB", (8, 8)).save("cats/3.png")
    LIST.write_text("3.png\n")
    assert looked(trusted=True) == before != looked()


def test_a_list_has_its_own_hash_which_is_stored(before: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    LIST.write_text("a/1.png\n")
    after = kept()
    assert after["list"] != before["list"]
    assert after | {"list": None} == before | {"list": None}
    LIST.unlink()
    assert kept() == after
    assert caplog.messages[0].startswith("datasets.cats.split.list: validation.txt: not a readable text file")
    assert prints.Fingerprints().collection(SOURCE, WHERE, Path("other.txt"))["list"] == {"absent": "other.txt"}


def dataset_values(name: str = "cats") -> dict[str, Any]:
    """A config whose dataset of this name is the folder."""
    values = json.loads(json.dumps(tiny_values()).replace('"tiny"', json.dumps(name))) | {"run": "tiny"}
    values["datasets"][name]["source"] = {"kind": "folder", "path": "cats"}
    values["datasets"][name]["split"] = {"rule": "list", "list": str(LIST)}
    return values


def test_a_plan_finds_the_fingerprint_of_a_renamed_dataset_and_needs_its_list(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = tiny_plan(dataset_values())
    facts = plan(raw_images, "cats")
    plan.fingerprints.keep()
    monkeypatch.setattr(module, "fingerprint", None)
    assert tiny_plan(dataset_values("felines"))(raw_images, "felines") == facts
    LIST.unlink()
    (line,) = (line for line in obstacles(plan, unfinished(plan)) if line.startswith("datasets.cats.split.list"))
    assert line.startswith("datasets.cats.split.list: validation.txt: not a readable text file")
