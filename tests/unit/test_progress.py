"""A stage's process: progress in its log with the rate and the time left; freed memory is used again."""

import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base import progress
from pipeline.base.progress import Progress, log_to


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    log_to(tmp_path / "a.log")
    yield clock
    logging.getLogger("pipeline").handlers.clear()


def test_line_every_ten_seconds_and_at_the_end(clock: Clock, tmp_path: Path) -> None:
    with Progress("train", 100, "steps") as shown:
        for _ in range(25):
            clock.now += 0.5
            shown.advance(note="loss 0.25")
    log_to(tmp_path / "a.log")  # as a resumed job does
    with Progress("resumed", 100, "steps", done=90) as shown:
        clock.now += 10
        shown.advance(5)
    first, second, third, fourth = (tmp_path / "a.log").read_text().splitlines()
    assert first.endswith(" train: 20 of 100 steps, 2 per second, 0:00:40 left, loss 0.25")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d train", first)
    assert "25 of 100 steps" in second
    assert third[20:] == fourth[20:] == "resumed: 95 of 100 steps, 0.5 per second, 0:00:10 left"


def test_without_progress_the_time_left_is_unknown_and_failures_log_nothing(clock: Clock, tmp_path: Path) -> None:
    with Progress("train", 10, "steps"):
        pass
    (line,) = (tmp_path / "a.log").read_text().splitlines()
    assert "0 of 10 steps, 0 per second, unknown left" in line
    with Progress("train", 1, "steps", visible=False) as shown:
        clock.now += 20
        shown.advance()
    with pytest.raises(RuntimeError), Progress("train", 1, "steps"):
        raise RuntimeError
    assert (tmp_path / "a.log").read_text() == f"{line}\n"


PAGE_FAULTS = """
import resource, sys
SIZE = 100_000_000 + len(sys.argv)  # known at run time: no constant of the compiler
if sys.argv[1] == "kept":
    from pipeline.base.process import keep_freed_memory
    assert keep_freed_memory()
b"x" * SIZE
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * SIZE
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_block_is_reused() -> None:
    """Ten blocks of 100 MB, one after another, in pages of 4 kB."""
    usual, kept = (
        int(subprocess.check_output([sys.executable, "-c", PAGE_FAULTS, how], text=True)) for how in ("usual", "kept")
    )
    assert usual > 200_000 and kept < 500
