"""Files that exist are whole."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.base.atomic import atomic_path, write_json, write_text


def test_the_file_appears_when_the_block_ends_and_not_before(tmp_path):
    path = tmp_path / "deep" / "er" / "result.txt"
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert not path.exists()
        assert temporary.suffix == path.suffix
        assert temporary.parent == path.parent
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_after_an_exception_the_old_file_stays_and_no_other_is_left(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_writer_that_is_killed_leaves_the_old_file_and_the_next_one_tidies_up(tmp_path):
    path = tmp_path / "result.txt"
    write_text(path, "old")
    code = (
        "import os, signal, sys; from pipeline.base.atomic import atomic_path\n"
        "with atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    write_text(path, "new")
    assert list(tmp_path.iterdir()) == [path] and path.read_text() == "new"


WRITE = """
import sys
from pathlib import Path
from pipeline.base.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text(sys.argv[2])
    Path(sys.argv[3]).touch()
    while not Path(sys.argv[4]).exists():
        pass
"""


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root: a PID namespace of its own")
def test_two_containers_on_one_folder_leave_each_other_alone(tmp_path: Path) -> None:
    """In both the writer is process 1 of its namespace; each finds the other's file while that is being written."""
    path, started, go = tmp_path / "result.txt", [tmp_path / "started0", tmp_path / "started1"], tmp_path / "go"
    containers = [
        subprocess.Popen(
            ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", WRITE, path, text, begun, go]
        )
        for text, begun in zip(("a" * 1000, "b" * 2000), started, strict=True)
    ]
    deadline = time.monotonic() + 60
    while not all(begun.exists() for begun in started) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(list(tmp_path.glob(".result.*.partial.txt"))) == 2
    go.touch()
    assert [container.wait(timeout=60) for container in containers] == [0, 0]
    assert path.read_text() in ("a" * 1000, "b" * 2000)
    assert not list(tmp_path.glob(".*"))


def test_what_another_machine_left_goes_after_a_week_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    theirs, gone = (tmp_path / f".result.{'0' * 12}.1.{name}.partial.txt" for name in ("aaaaaaaa", "bbbbbbbb"))
    for leftover in (theirs, gone):
        leftover.write_text("half")
    os.utime(gone, (0, 0))
    write_text(path, "new")
    assert set(tmp_path.iterdir()) == {path, theirs}


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o002, 0o664), (0o077, 0o600)])
def test_a_file_has_the_mode_that_the_umask_says_whatever_its_writer_does(
    tmp_path: Path, umask: int, mode: int
) -> None:
    path = tmp_path / "result.txt"
    before = os.umask(umask)
    try:
        with atomic_path(path) as temporary:
            temporary.touch(mode=0o640)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_block_that_writes_nothing_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "result.txt"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_without_numbers_that_json_lacks(tmp_path, number):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "a": "é"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"a": "é", "b": [1, 2.5, None]}
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": number})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["a"] == "é"
