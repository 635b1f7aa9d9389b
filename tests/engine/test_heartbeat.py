"""A stage's process: its record and how it ended, progress in its log, freed memory that is used again."""

import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
from bright_pipeline.base import locks, progress
from bright_pipeline.base.progress import NO_PROGRESS, Activity, Progress, activity, log_to
from bright_pipeline.engine import records
from bright_pipeline.engine.heartbeat import LAUNCHED, RUN, beating, parents
from bright_pipeline.engine.records import Record, record_path
from daemons import wait_for


@pytest.fixture
def log(tmp_path):
    activity.facts = dict(NO_PROGRESS)  # as in a new process, whatever other tests counted in this one
    log_to(tmp_path / "logs" / "stage-x-1.log")
    yield tmp_path / "logs" / "stage-x-1.log"
    log_to(None)
    logging.getLogger("bright_pipeline").handlers.clear()


def record(log: Path) -> dict:
    return json.loads(record_path(log).read_text())


def test_the_record_lies_beside_the_folder_of_logs_and_tells_progress(log) -> None:
    with beating(every_s=0.01), Progress("train", 40, "steps", done=10) as progress:
        progress.advance(10, note="loss 0.5")
        wait_for(lambda: record_path(log).exists() and record(log)["done"] == 20, 10, "no record of the progress")
        running = record(log)
    assert record_path(log) == log.parents[1] / "records" / "stage-x-1.json"
    assert (running["state"], running["description"], running["note"]) == ("running", "train", "loss 0.5")
    assert (running["done"], running["total"], running["unit"], running["process"]) == (20, 40, "steps", os.getpid())
    assert running["rate"] > 0 and running["left_s"] == pytest.approx(20 / running["rate"])
    after = record(log)
    assert (after["state"], after["device"]) == ("done", "cpu")
    assert after["started_at"] <= running["updated_at"] <= after["updated_at"]
    assert after["seconds"] == pytest.approx(after["updated_at"] - after["started_at"])
    assert after["cpu_seconds"] > 0 and after["peak_mb"] > 5


@pytest.mark.parametrize(
    ("problem", "state", "error"),
    [
        (SystemExit(), "done", ""),
        (SystemExit(1), "failed", ""),
        (SystemExit(128 + signal.SIGTERM), "interrupted", ""),
        (SystemExit(128 + signal.SIGINT), "interrupted", ""),
        (ValueError("no\nimages"), "failed", "ValueError: no images"),
        (MemoryError("no\nroom"), "out of memory", "MemoryError: no room"),
    ],
)
def test_how_it_ended(log, problem, state, error) -> None:
    with pytest.raises(type(problem)), beating():
        raise problem
    assert (record(log)["state"], record(log)["error"]) == (state, error)


def test_without_a_log_or_in_a_second_process_nothing_is_written(tmp_path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    with beating(Activity()), beating(Activity(log=tmp_path / "file" / "a.log")):
        pass  # a record that cannot be written stops no job
    monkeypatch.setenv("RANK", "1")
    with beating(Activity(log=tmp_path / "a.log")):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_heartbeat_during_the_import_of_torch(log, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", ModuleType("torch"))
    with beating():
        pass
    assert record(log)["device"] == "cpu"


@pytest.mark.parametrize("name", [LAUNCHED, RUN])
@pytest.mark.parametrize("here", [True, False])
@pytest.mark.parametrize("already", [True, False])
def test_a_stage_ends_with_whoever_started_it_on_this_machine(log, monkeypatch, name, here, already) -> None:
    starter = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    host = socket.gethostname() if here else "another"
    asked: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    monkeypatch.setenv(name, f"{host}:{starter.pid}")
    if already:  # before Python has started
        starter.kill()
        starter.wait()
    try:
        with beating(every_s=0.01):
            if not already:
                time.sleep(0.1)
                assert asked == []
                starter.kill()
                starter.wait()
            deadline = time.monotonic() + (20 if here else 0.5)
            while not asked and time.monotonic() < deadline:
                time.sleep(0.01)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert asked == ([signal.SIGTERM] if here else [])


@pytest.mark.parametrize("told", ["", "1", "host:", ":1", "host:word", f"{socket.gethostname()}:word"])
def test_a_starter_that_is_not_known_ends_nothing(monkeypatch, told) -> None:
    monkeypatch.setenv(RUN, told)
    assert parents() == []


def test_launcher_and_stage_write_one_record_and_neither_loses_what_the_other_told(log, monkeypatch) -> None:
    Record(log, begins=True).write(state="failed", error="of an earlier attempt")
    launcher = Record(log, begins=True, limit_mb=1000, peak_mb=0)
    launcher.write(state="running")
    monkeypatch.setenv(LAUNCHED, "1")
    with beating(every_s=0.001), Progress("generate", 200, "images") as progress:
        for peak_mb in range(1, 201):
            launcher.repeated["peak_mb"] = peak_mb
            launcher.write()
            progress.advance()
            found = record(log)
            assert (found["peak_mb"], found["limit_mb"], found["state"]) == (peak_mb, 1000, "running")
    assert (record(log)["done"], record(log)["peak_mb"], record(log)["state"]) == (200, 200, "done")
    assert not record(log)["error"], "nothing stays of an earlier attempt"


@pytest.mark.parametrize("problem", [OSError("no locks here"), BlockingIOError("somebody holds it, for ever")])
def test_where_a_lock_is_not_to_be_had_the_record_is_written_all_the_same(log, monkeypatch, problem) -> None:
    def flock(*arguments: object) -> None:
        raise problem

    monkeypatch.setattr(locks.fcntl, "flock", flock)
    monkeypatch.setattr(records, "LOCK_PATIENCE_S", 0.05)
    Record(log, begins=True, limit_mb=7).write(state="running")
    assert (record(log)["state"], record(log)["limit_mb"]) == ("running", 7)


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_line_every_ten_seconds_and_at_the_end_and_none_of_failures(log: Path, monkeypatch) -> None:
    monkeypatch.setattr(progress, "time", clock := Clock())
    with Progress("train", 100, "steps") as shown:
        for _ in range(25):
            clock.now += 0.5
            shown.advance(note="loss 0.25")
    log_to(log)  # as a resumed job does
    with Progress("resumed", 100, "steps", done=90) as shown:
        clock.now += 10
        shown.advance(5)
    with Progress("idle", 10, "steps"), Progress("hidden", 1, "steps", visible=False) as shown:
        clock.now += 20
        shown.advance()
    with pytest.raises(RuntimeError), Progress("failed", 1, "steps"):
        raise RuntimeError
    first, second, third, fourth, idle = log.read_text().splitlines()
    assert re.fullmatch(r"[\d-]{10} [\d:]{8} train: 20 of 100 steps, 2 per second, 0:00:40 left, loss 0.25", first)
    assert "25 of 100 steps" in second
    assert third[20:] == fourth[20:] == "resumed: 95 of 100 steps, 0.5 per second, 0:00:10 left"
    assert "idle: 0 of 10 steps, 0 per second, unknown left" in idle
