"""A training's work folder has one writer: its lock."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base import locks
from pipeline.base.errors import InputError
from pipeline.base.locks import is_locked, lock_holder, lock_work_folder

HOLD = """
import sys, time
from pathlib import Path
from pipeline.base.locks import lock_work_folder
held = lock_work_folder(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the folder's lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path / "work")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_second_writer_gets_an_error_that_names_the_first(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    lines: list[str] = []
    with pytest.raises(InputError, match=rf"work: process {other.pid} on .* trains here; wait for it to end, or stop"):
        lock_work_folder(tmp_path / "work", patience_s=0.0, report=lines.append)
    assert len(lines) == 1 and f"waiting for process {other.pid} on" in lines[0]
    assert is_locked(tmp_path / "work")


def test_lock_ends_with_its_process(tmp_path: Path, other: subprocess.Popen[str]) -> None:
    held = lock_work_folder(tmp_path / "work", patience_s=60.0, report=lambda line: other.kill())
    assert lock_holder(tmp_path / "work") != f"process {other.pid}"
    held.close()
    assert not is_locked(tmp_path / "work")


def test_file_system_without_locks_stops_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(locks.fcntl, "flock", refuse)
    before = time.monotonic()
    assert not is_locked(tmp_path / "work") and not (tmp_path / "work").exists()
    lock_work_folder(tmp_path / "work").close()
    assert time.monotonic() - before < 30
    assert not is_locked(tmp_path / "work")
