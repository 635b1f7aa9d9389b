"""A file is complete or absent; a result gets its line in SHA256SUMS, and any later damage is reported."""

import errno
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.verify import inspect, move_away
from bright_pipeline.engine import atomic
from bright_pipeline.engine.atomic import atomic_path, write_json, write_text
from bright_pipeline.engine.checksums import SUMS, check, problem, read_sums, take_checksum
from bright_pipeline.engine.damage import add_missing_checksums
from bright_pipeline.engine.jobs import Job
from bright_pipeline.stages.tables import tables
from daemons import container, wait_for
from finished_plan import finish, tiny_plan
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.usefixtures("own_folder")

RESULT = Path("results/store/tables/table2-0123456789ab/table.csv")
ARCHIVE = RESULT.with_name("images.zip")
LIST = RESULT.with_name(SUMS)


def archive(*members: bytes) -> Path:
    """A zip of these members, put in place."""
    with atomic_path(ARCHIVE) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for number, content in enumerate(members):
            file.writestr(zipfile.ZipInfo(f"{number}.png"), content)
    return ARCHIVE


@pytest.mark.parametrize(
    "path",
    ["results/a/tables/table2.csv", "results/identities/a.json", "a/b.csv", "results/work/a", "results/store/t/a.dvc"],
)
def test_only_results_and_saved_states_have_checksums(path: str) -> None:
    write_text(path, "text")
    assert not Path(path).with_name(SUMS).exists()
    assert problem(Path(path)) is None
    if not path.startswith("results"):  # a list of somebody else
        Path(path).with_name(SUMS).write_text(f"{'0' * 64}  {Path(path).name}\n")
        write_text(path, "text")
        check(Path(path))
    RESULT.parent.mkdir(parents=True)
    RESULT.write_text("by hand")
    assert problem(RESULT) is None and problem(RESULT.with_name("absent.csv")) is None


def test_directory_of_a_zip_distinguishes_it_and_a_damaged_member_is_found_by_reading_all() -> None:
    other = archive(b"one", b"two").read_bytes()
    content = archive(b"one", b"owt").read_bytes()
    assert problem(ARCHIVE) is None
    ARCHIVE.write_bytes(other)
    assert problem(ARCHIVE, read="size") is None
    assert "damaged" in (problem(ARCHIVE) or "")
    ARCHIVE.write_bytes(content.replace(b"owt", b"own", 1))
    assert problem(ARCHIVE) is None
    assert "damaged" in (problem(ARCHIVE, read="content") or "")
    with zipfile.ZipFile(ARCHIVE) as file, pytest.raises(zipfile.BadZipFile):
        file.read("1.png")


@given(st.binary(min_size=1, max_size=200), st.data())
def test_every_changed_byte_is_found(content: bytes, data: st.DataObject) -> None:
    with atomic_path(RESULT) as temporary:
        temporary.write_bytes(content)
    assert problem(RESULT) is None
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    RESULT.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    assert problem(RESULT, read="size") is None
    with pytest.raises(InputError, match=f"{RESULT}: damaged: sha256 is .*, should be .*; `bright verify --repair`"):
        check(RESULT)


@given(st.data())
def test_every_changed_byte_of_the_list_is_found(data: st.DataObject) -> None:
    write_text(RESULT, "text")
    content = LIST.read_bytes()
    place, change = data.draw(st.integers(0, len(content) - 1)), data.draw(st.integers(1, 255))
    LIST.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
    assert str(LIST) in (problem(RESULT, read="size") or "")
    LIST.write_bytes(content[:place])
    assert f"{LIST}: damaged, or of another folder" in (problem(RESULT, read="size") or "")
    LIST.unlink()


def test_other_size_and_list_of_another_folder_are_found_without_opening_the_file() -> None:
    write_text(RESULT, "a" * 1234)
    RESULT.write_text("")
    RESULT.chmod(0)
    assert (problem(RESULT, read="size") or "").startswith(f"{RESULT}: damaged: 0 bytes, should be 1,234; ")
    write_text(RESULT, "text")
    other = Path("results/store/tables/table2-ba9876543210/table.csv")
    shutil.copytree(RESULT.parent, other.parent)
    assert "of another folder" in (problem(other) or "")
    renamed = Path("results/store/tables/renamed-0123456789ab")
    RESULT.parent.rename(renamed)
    assert problem(renamed / RESULT.name) is None


@pytest.mark.parametrize("step", ["rename", "line"])
def test_a_killed_process_leaves_no_wrong_line(monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    write_text(RESULT, "before")
    other = RESULT.with_name("other.csv")
    write_text(other, "other")
    update = atomic.update_sums

    def die(folder: Path, changes: Any) -> None:
        if step == "rename":
            update(folder, changes)
        if step == "rename" or all(changes.values()):
            raise KeyboardInterrupt

    if step == "line":
        LIST.unlink()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(atomic, "update_sums", die)
        write_text(RESULT, "after")
    assert RESULT.read_text() == ("before" if step == "rename" else "after")
    assert problem(RESULT) is None and problem(other) is None


WRITE_TWENTY = """
import sys
from pathlib import Path
from typing import Any
from bright_pipeline.engine.atomic import write_text
for number in range(20):
    write_text(Path(sys.argv[1]).with_name(f"{sys.argv[2]}-{number}.csv"), sys.argv[2])
"""


def test_processes_that_write_into_one_folder_lose_no_line() -> None:
    commands = [[sys.executable, "-c", WRITE_TWENTY, str(RESULT), str(process)] for process in range(4)]
    for process in [subprocess.Popen(command) for command in commands]:
        assert process.wait(120) == 0
    archive(b"one")
    command = ["sha256sum", "--check", "--strict", SUMS]
    done = subprocess.run(command, cwd=RESULT.parent, capture_output=True, text=True, check=True)
    assert done.stderr == "" and len(done.stdout.splitlines()) == 81 and "images.zip: OK\n" in done.stdout
    assert read_sums(RESULT.parent) == {path.name: take_checksum(path) for path in RESULT.parent.glob("*.*")}


@pytest.fixture
def job() -> Job:
    """A finished job of a finished plan."""
    plan = tiny_plan()
    finish(plan)
    return plan(tables)["table2"]


def test_a_folder_without_a_list_gets_it_and_is_not_damaged(job: Job) -> None:
    (job.folder / SUMS).unlink()
    assert not inspect(tiny_plan(), whole_store=False)
    assert problem(job.folder / "table.csv") is None
    add_missing_checksums(job)
    assert read_sums(job.folder).keys() == set(job.files)


@pytest.mark.parametrize("how", ["one digit", "empty"])
def test_repair_of_a_damaged_list_keeps_the_files_that_it_still_proves(job: Job, how: str) -> None:
    listed = job.folder / SUMS
    sha256 = read_sums(job.folder)["table.csv"].sha256
    write_text(job.folder / "table.md", "another")  # files of the plan share one content, and so one sha256
    listed.write_text("" if how == "empty" else listed.read_text().replace(f"{sha256}  table.csv", "0  table.csv"))
    (damage,) = inspect(tiny_plan(), whole_store=False)
    assert damage.line.partition(":")[0] == str(listed)
    assert move_away([damage]) == 1 + (len(job.files) if how == "empty" else 0)
    assert tiny_plan()(tables)["table2"].complete == (how != "empty") and not listed.exists()


WRITE = """
import sys
from pathlib import Path
from typing import Any
from bright_pipeline.engine.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text(sys.argv[2])
    Path(sys.argv[3]).touch()
    while not Path(sys.argv[4]).exists():
        pass
"""


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_file_appears_at_the_end_of_the_block_with_the_mode_of_the_umask(tmp_path: Path, umask: int, mode: int) -> None:
    path = tmp_path / "deep" / "er" / "result.txt"
    before = os.umask(umask)
    try:
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o640)
            temporary.write_text("new")
            assert not path.exists()
            assert (temporary.suffix, temporary.parent) == (path.suffix, path.parent)
    finally:
        os.umask(before)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", mode)
    with pytest.raises(RuntimeError, match="half"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half")
    with pytest.raises(FileNotFoundError), atomic_path(path.with_name("other")):
        pass
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("place", [Path, os], ids=["modes", "flushed folders"])
@pytest.mark.parametrize(("code", "error"), [(errno.EINVAL, None), (errno.EPERM, None), (errno.EIO, OSError)])
def test_a_file_system_may_lack_modes_and_flushed_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: Any, code: int, error: type[OSError] | None
) -> None:
    """As CIFS and some FUSE mounts; an error of the disk is none of these, nor is a file that cannot be flushed."""
    flush = os.fsync

    def refuse(opened: Any, *mode: int) -> None:
        if isinstance(opened, int) and not stat.S_ISDIR(os.fstat(opened).st_mode):
            return flush(opened)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(place, "chmod" if place is Path else "fsync", refuse)
    with pytest.raises(error) if error else nullcontext():
        write_text(tmp_path / "result.txt", "text")
    written = [path.read_text() for path in tmp_path.iterdir()]
    assert written == ([] if error and place is Path else ["text"]), "a file is renamed before its folder is flushed"


def test_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path, started = tmp_path / "result.txt", tmp_path / "started"
    write_text(path, "old")
    killed = subprocess.Popen([sys.executable, "-c", WRITE, path, "half", started, tmp_path / "never"])
    wait_for(started.exists, 60, "no writer")
    killed.kill()
    killed.wait()
    started.unlink()
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    other_machine, abandoned = (tmp_path / f".result.{'0' * 12}.1.{name * 8}.partial.txt" for name in "ab")
    for leftover in (other_machine, abandoned):
        leftover.write_text("half")
    os.utime(abandoned, (0, 0))
    write_text(path, "new")
    assert set(tmp_path.iterdir()) == {path, other_machine}, "which may still be written, for a week"
    assert path.read_text() == "new"


def test_writers_in_two_containers_do_not_remove_each_others_files(tmp_path: Path) -> None:
    """In both the writer is process 1 of its namespace; each finds the other's temporary file."""
    path, started, go = tmp_path / "result.txt", [tmp_path / "started0", tmp_path / "started1"], tmp_path / "go"
    command = [*container(), sys.executable, "-c", WRITE, path]
    texts = ("a" * 1000, "b" * 2000)
    containers = [subprocess.Popen([*command, text, begun, go]) for text, begun in zip(texts, started, strict=True)]
    wait_for(lambda: all(begun.exists() for begun in started), 60, "no writers")
    assert len(list(tmp_path.glob(".result.*.partial.txt"))) == 2
    go.touch()
    assert [container.wait(timeout=60) for container in containers] == [0, 0]
    assert path.read_text() in texts
    assert not list(tmp_path.glob(".*"))


def test_json_has_no_nan_and_no_infinity(tmp_path: Path) -> None:
    values = {"b": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "a.json", values)
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            write_json(tmp_path / "a.json", {"a": number})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == values
