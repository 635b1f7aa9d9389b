"""Fingerprints are taken once, kept when a run starts, and stand for collections that are not here."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from finished_plan import tiny_plan, tiny_values
from PIL import Image

from pipeline.base.errors import InputError
from pipeline.commands.fingerprint import fingerprint as command
from pipeline.data import fingerprint as module
from pipeline.data.fingerprint import (
    FINGERPRINTS,
    LAST_SEEN,
    Fingerprints,
    missing_source,
    read_fingerprint,
    write_fingerprint,
)
from pipeline.plan.checks import obstacles
from pipeline.plan.run import unfinished
from pipeline.settings.dataset import EmbeddedSource, FolderSource
from pipeline.stages.datasets import raw_images

WHERE = "datasets.cats.source"
SOURCE = FolderSource(kind="folder", path=Path("cats"))
LIST = Path("validation.txt")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures in `cats` and one of their names in a list, all long unchanged."""
    monkeypatch.chdir(tmp_path)
    Path("cats", "a").mkdir(parents=True)
    for index, name in enumerate(("a/1.png", "2.png")):
        Image.fromarray(np.full((8, 8, 3), index, np.uint8)).save(Path("cats", name))
        os.utime(Path("cats", name), (1, 1))
    LIST.write_text("2.png\n")


def looked(**options: Any) -> dict[str, Any]:
    """As a dry run looks."""
    return Fingerprints(**options).collection(SOURCE, WHERE, LIST)


def kept() -> dict[str, Any]:
    """As a run keeps it."""
    fingerprints = Fingerprints()
    facts = fingerprints.collection(SOURCE, WHERE, LIST)
    fingerprints.keep()
    return facts


def empty() -> None:
    shutil.rmtree("cats")
    Path("cats").mkdir()


def remove() -> None:
    shutil.rmtree("cats")


def lose_the_images() -> None:
    for path in Path("cats").rglob("*.png"):
        path.unlink()
    Path("cats", "readme.txt").write_text("there were cats")


def lose_what_the_links_are_to() -> None:
    for path in Path("cats").rglob("*.png"):
        path.unlink()
        path.symlink_to("/no/such/disk")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def test_a_fingerprint_is_kept_and_printed() -> None:
    fingerprints = Fingerprints()
    facts = fingerprints.collection(SOURCE, WHERE, LIST)
    assert (facts["files"], facts["images"]) == (2, {"all": 2})
    assert not Path("results").exists()
    fingerprints.keep()
    (path,) = FINGERPRINTS.iterdir()
    assert path.name.startswith("cats-")
    assert json.loads(path.read_text())["sha256"] == facts["sha256"]


def test_an_unchanged_collection_is_read_once_also_in_a_clone(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept()
    monkeypatch.setattr(module, "fingerprint", None)
    assert looked() == before


@pytest.mark.parametrize("lose", [empty, remove, lose_the_images, lose_what_the_links_are_to])
def test_a_collection_that_is_not_there_leaves_what_is_kept(lose: Any, caplog: pytest.LogCaptureFixture) -> None:
    before = kept()
    files = {path: path.read_bytes() for path in (*FINGERPRINTS.iterdir(), LAST_SEEN)}
    lose()
    assert kept() == before
    assert {path: path.read_bytes() for path in (*FINGERPRINTS.iterdir(), LAST_SEEN)} == files
    (line,) = lines(caplog)
    assert line.startswith(f"{WHERE}.path: cats ")
    assert line.endswith("; its stored fingerprint is used")


@pytest.mark.parametrize("lose", [empty, remove, lose_the_images, lose_what_the_links_are_to])
def test_without_a_kept_one_it_is_absent_and_a_real_run_ends_with_one_line(lose: Any) -> None:
    lose()
    assert kept()["absent"] == {"kind": "folder", "path": "cats"}
    assert not FINGERPRINTS.exists()
    problem = missing_source(SOURCE, WHERE)
    assert problem is not None
    assert problem.startswith(f"{WHERE}.path: cats ")


@pytest.mark.parametrize("place", ["cats", "cats/a"])
def test_a_folder_that_cannot_be_listed_leaves_what_is_kept(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before, scan = kept(), os.scandir

    def refused(path: Any) -> Any:
        if os.fspath(path) == place:
            raise PermissionError(13, "Permission denied", place)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refused)
    assert looked() == before
    assert missing_source(SOURCE, WHERE) == f"{WHERE}.path: {place}: not a readable folder (Permission denied)"


def test_files_that_nobody_may_read_leave_what_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert looked() == before


def test_a_changed_image_of_the_same_size_is_another_collection(caplog: pytest.LogCaptureFixture) -> None:
    before = kept()
    content = bytearray(Path("cats/2.png").read_bytes())
    content[-1] ^= 1
    Path("cats/2.png").write_bytes(content)
    after = kept()
    assert after["sha256"] != before["sha256"]
    assert lines(caplog) == [f"{WHERE}: its files differ from the stored fingerprint; dependent results are recomputed"]
    assert looked() == after


def test_a_touch_is_the_same_collection_and_is_read_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept()
    files = {path: path.read_bytes() for path in FINGERPRINTS.iterdir()}
    Path("cats/2.png").touch()
    assert kept() == before
    assert {path: path.read_bytes() for path in FINGERPRINTS.iterdir()} == files, "git sees no change"
    monkeypatch.setattr(module, "fingerprint", None)
    assert looked() == before


def test_a_clone_reads_the_images_once(monkeypatch: pytest.MonkeyPatch) -> None:
    before = kept()
    LAST_SEEN.unlink()  # git does not hold it
    assert kept() == before
    monkeypatch.setattr(module, "fingerprint", None)
    assert looked() == before


def test_a_damaged_or_wrong_fingerprint_is_named() -> None:
    ours = kept()
    (path,) = FINGERPRINTS.iterdir()
    found = read_fingerprint(path)
    assert found is not None
    write_fingerprint(path, found.model_copy(update={"sha256": "0" * 64}))
    assert looked()["sha256"] == ours["sha256"]
    ours = kept()
    (path,) = FINGERPRINTS.iterdir()
    path.write_text(path.read_text().replace(ours["sha256"], "0" * 64))
    with pytest.raises(InputError, match=f"{path}: damaged: .* restore it with git, or delete it"):
        looked()
    path.unlink()
    assert looked()["sha256"] == ours["sha256"]


def test_a_cluster_job_trusts_what_is_kept() -> None:
    before = kept()
    Image.new("RGB", (8, 8)).save("cats/3.png")
    LIST.write_text("3.png\n")
    assert looked(trusted=True) == before != looked()


def test_a_list_is_part_of_the_fingerprint_and_kept_if_missing(caplog: pytest.LogCaptureFixture) -> None:
    before = kept()
    LIST.write_text("a/1.png\n")
    after = kept()
    assert after["list"] != before["list"]
    assert after | {"list": None} == before | {"list": None}
    before = kept()
    LIST.unlink()
    assert kept() == before
    (line,) = lines(caplog)
    assert line.startswith("datasets.cats.split.list: validation.txt: not a readable text file")
    assert Fingerprints().collection(SOURCE, WHERE, Path("other.txt"))["list"] == {"absent": "other.txt"}


@pytest.mark.parametrize("content", ["", "<<<<<<< HEAD\n{}", '{"sha256": 1}', "[]"])
def test_a_damaged_kept_file_is_one_line(content: str) -> None:
    kept()
    (path,) = FINGERPRINTS.iterdir()
    path.write_text(content)
    with pytest.raises(InputError, match=f"^{path}: not a readable fingerprint; restore it with git, or delete it"):
        looked()


def test_damaged_times_are_none() -> None:
    before = kept()
    for content in ("", "[1]", "<<<<<<< HEAD"):
        LAST_SEEN.write_text(content)
        assert kept() == before
        assert LAST_SEEN.read_text().startswith('{\n  "cats-')


def dataset_plan(name: str = "cats") -> Any:
    """A plan whose dataset of this name is the folder."""
    values = tiny_values()
    text = json.dumps(values).replace('"tiny"', json.dumps(name))
    values = json.loads(text) | {"run": "tiny"}
    values["datasets"][name]["source"] = {"kind": "folder", "path": "cats"}
    values["datasets"][name]["split"] = {"rule": "list", "list": str(LIST)}
    return tiny_plan(values)


def test_a_renamed_dataset_finds_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = dataset_plan()
    facts = plan(raw_images, "cats")
    plan.fingerprints.keep()
    monkeypatch.setattr(module, "fingerprint", None)
    assert dataset_plan("felines")(raw_images, "felines") == facts


def test_a_run_that_prepares_a_dataset_needs_its_list() -> None:
    plan = dataset_plan()
    LIST.unlink()
    (line,) = (line for line in obstacles(plan, unfinished(plan)) if line.startswith("datasets"))
    assert line.startswith("datasets.cats.split.list: validation.txt: not a readable text file")


def test_the_embedded_images_are_named_by_themselves() -> None:
    fingerprints = Fingerprints()
    assert fingerprints.collection(EmbeddedSource(kind="embedded"), WHERE)["images"] == {"all": 10_000}
    fingerprints.keep()
    assert [path.name[:14] for path in FINGERPRINTS.iterdir()] == ["fashion-mnist-"]


def test_the_command_keeps_what_it_prints(capsys: pytest.CaptureFixture[str]) -> None:
    values = tiny_values()
    values["datasets"]["tiny"]["source"] = {"kind": "folder", "path": "cats"}
    Path("config.yaml").write_text(yaml.safe_dump(values))
    command(Path("config.yaml"))
    printed = json.loads(capsys.readouterr().out)
    assert printed["datasets.tiny.source"]["files"] == 2
    assert len(list(FINGERPRINTS.iterdir())) == 1
