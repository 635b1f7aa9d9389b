"""One training, one writer: the lock of a work folder."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base import work
from pipeline.base.errors import InputError
from pipeline.base.work import hold, holder, is_held

HOLD = "import sys, time; from pathlib import Path; from pipeline.base.work import hold; held = hold(Path(sys.argv[1]))"


@pytest.fixture
def another(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that trains in the folder."""
    words = [sys.executable, "-c", f"{HOLD}; print('held', flush=True); time.sleep(600)", str(tmp_path / "work")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_writer_is_told_who_the_first_is(tmp_path: Path, another: subprocess.Popen[str]) -> None:
    told: list[str] = []
    with pytest.raises(InputError, match=rf"work: process {another.pid} on .* trains here; wait for its end, or end"):
        hold(tmp_path / "work", patience_s=0.0, wait=told.append)
    assert len(told) == 1 and f"waiting for process {another.pid} on" in told[0]
    assert is_held(tmp_path / "work")


def test_the_lock_ends_with_its_process_and_who_waits_goes_on(tmp_path: Path, another: subprocess.Popen[str]) -> None:
    held = hold(tmp_path / "work", patience_s=60.0, wait=lambda told: another.kill())
    assert holder(tmp_path / "work") != f"process {another.pid}"
    held.close()
    assert not is_held(tmp_path / "work")


def test_a_folder_that_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert not is_held(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


def test_where_the_file_system_has_no_locks_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, how: int) -> None:
        raise OSError("no locks here")

    monkeypatch.setattr(work.fcntl, "flock", refuse)
    before = time.monotonic()
    hold(tmp_path / "work").close()
    assert time.monotonic() - before < 30
    assert not is_held(tmp_path / "work")
