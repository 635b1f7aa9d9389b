"""A stage's part of its job's record (`records`): written every few seconds while it runs, and at its end.

It also looks after whoever started the stage: a training does not go on beside the next run's when its run was killed.
"""

import os
import platform
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from pipeline.base.records import Record, State, is_out_of_memory, used

BEAT_S = 5.0
LOOK_S = 0.5  # how often it is looked whether who started this is still there
LAUNCHED = "BRIGHT_LAUNCHED"  # HOST:PROCESS of a launcher, which began the record and measures what the job uses
RUN = "BRIGHT_RUN"  # HOST:PROCESS of the Snakemake that started the job's shell
NOTHING_YET = {"description": "", "done": 0, "total": 0, "unit": "", "rate": 0.0, "left_s": None, "note": ""}
INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes of a stage that was asked to end


@dataclass
class Activity:
    """What this process does; `pipeline.base.progress` keeps it up to date."""

    log: Path | None = None
    facts: dict[str, Any] = field(default_factory=NOTHING_YET.copy)
    """What it does, and how far it is."""


activity = Activity()


@contextmanager
def beating(activity: Activity = activity, every_s: float = BEAT_S) -> Iterator[None]:
    """Write the record now and then within the block, and how the block ended."""
    launched = LAUNCHED in os.environ
    record = Record(activity.log, begins=not launched, **({} if launched else {"started_at": time.time()}))
    stop = threading.Event()

    def write(state: State, error: str = "") -> None:
        record.log = activity.log
        if record.log is not None and os.environ.get("RANK", "0") == "0":  # one process of several speaks for all
            place = {"host": platform.node(), "process": os.getpid(), "device": _device()}
            record.write(state=state, error=error, **activity.facts, **place, **({} if launched else used()))

    def beat() -> None:
        def again() -> float:
            write(State.RUNNING)
            return time.monotonic() + (every_s if activity.log is not None else LOOK_S)

        due, watched = again(), starters()
        while not stop.wait(min(LOOK_S, every_s)):
            if watched and not all(_lives(one) for one in watched):
                watched = []
                os.kill(os.getpid(), signal.SIGTERM)  # as it is asked to end at any other time
            if time.monotonic() >= due:
                due = again()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    state, error = State.FAILED, ""
    try:
        yield
        state = State.DONE
    except SystemExit as leave:
        done, asked = leave.code in (None, 0), leave.code in INTERRUPTED
        state = State.DONE if done else State.INTERRUPTED if asked else State.FAILED
        raise
    except BaseException as problem:
        error = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        state = State.OUT_OF_MEMORY if is_out_of_memory(problem) else State.FAILED
        raise
    finally:
        stop.set()
        thread.join()
        write(state, error)


def starters() -> list[psutil.Process]:
    """The run and the launcher that started this process, where they are on this machine."""
    found = []
    for name in (RUN, LAUNCHED):
        host, _, process = os.environ.get(name, "").rpartition(":")
        if host == socket.gethostname() and process.isdigit():
            with suppress(psutil.NoSuchProcess):
                found.append(psutil.Process(int(process)))
    return found


def _lives(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _device() -> str:
    """The GPU's name where this process uses one; torch is not imported for it, and may be half imported yet."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    in_use = getattr(cuda, "is_initialized", None)
    return str(cuda.get_device_name()) if cuda is not None and in_use is not None and in_use() else "cpu"
