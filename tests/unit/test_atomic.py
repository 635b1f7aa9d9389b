"""Atomic writes: a file is complete or absent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.base.atomic import atomic_path, write_json, write_text

KILL = """
import os, signal, sys
from pipeline.base.atomic import atomic_path
with atomic_path(sys.argv[1]) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
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
    assert list(path.parent.iterdir()) == [path]


def test_after_an_exception_or_an_empty_block_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    with pytest.raises(FileNotFoundError), atomic_path(path):
        pass
    assert not list(tmp_path.iterdir())
    write_text(path, "old")
    with pytest.raises(RuntimeError, match="half"), atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("half")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_next_writer_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    path = tmp_path / "result.txt"
    write_text(path, "old")
    killed = subprocess.run([sys.executable, "-c", KILL, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2
    other_machine, abandoned = (tmp_path / f".result.{'0' * 12}.1.{name * 8}.partial.txt" for name in "ab")
    for leftover in (other_machine, abandoned):
        leftover.write_text("half")
    os.utime(abandoned, (0, 0))
    write_text(path, "new")
    assert set(tmp_path.iterdir()) == {path, other_machine}, "which may still be written, for a week"
    assert path.read_text() == "new"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root: a PID namespace of its own")
def test_writers_in_two_containers_do_not_remove_each_others_files(tmp_path: Path) -> None:
    """In both the writer is process 1 of its namespace; each finds the other's temporary file."""
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


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_has_no_nan_and_no_infinity(tmp_path: Path, number: float) -> None:
    values = {"b": [1, 2.5, None], "a": "é"}
    write_json(tmp_path / "a.json", values)
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"a": number})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == values
