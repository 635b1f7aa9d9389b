"""Progress in a log: lines with the rate and the time left."""

import logging
import re

import pytest

from pipeline.base import progress
from pipeline.base.progress import Progress, log_to


class Clock:
    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    yield clock
    logging.getLogger("pipeline").handlers.clear()


def test_a_line_every_ten_seconds_with_rate_and_time_left(clock, tmp_path):
    log_to(tmp_path / "a.log")
    with Progress("train", 100, "steps") as shown:
        for _ in range(25):
            clock.now += 0.5
            shown.advance(note="loss 0.25")
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert len(lines) == 2  # after ten seconds, and at the end
    assert lines[0].endswith(" train: 20 of 100 steps, 2 per second, 0:00:40 left, loss 0.25")
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d train", lines[0])
    assert "25 of 100 steps" in lines[1]


def test_what_was_done_before_a_resume_is_counted_but_not_in_the_rate(clock, tmp_path):
    log_to(tmp_path / "a.log")
    with Progress("train", 100, "steps", done=90) as shown:
        clock.now += 10
        shown.advance(5)
    assert "95 of 100 steps, 0.5 per second, 0:00:10 left" in (tmp_path / "a.log").read_text()


def test_a_resumed_log_keeps_its_story(clock, tmp_path):
    for name in ("first", "second"):
        log_to(tmp_path / "a.log")
        with Progress(name, 1, "images") as shown:
            clock.now += 1
            shown.advance()
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert [line.split()[2] for line in lines] == ["first:", "second:"]


def test_nothing_done_leaves_the_time_left_unknown(clock, tmp_path):
    log_to(tmp_path / "a.log")
    with Progress("train", 10, "steps"):
        pass
    assert "0 of 10 steps, 0 per second, unknown left" in (tmp_path / "a.log").read_text()


def test_processes_that_are_not_the_main_one_are_silent(clock, tmp_path):
    log_to(tmp_path / "a.log")
    with Progress("train", 1, "steps", visible=False) as shown:
        clock.now += 20
        shown.advance()
    assert (tmp_path / "a.log").read_text() == ""


def test_an_exception_ends_the_bar_without_a_last_line(clock, tmp_path):
    log_to(tmp_path / "a.log")
    with pytest.raises(RuntimeError), Progress("train", 1, "steps"):
        raise RuntimeError
    assert (tmp_path / "a.log").read_text() == ""
