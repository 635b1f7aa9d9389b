"""A stage's own record, in a small file beside its log: what it does, how far it is, and that it lives.

The file is written every few seconds while the stage runs and once more at its end. Who reads it, on this
machine or another one that shares the file system, tells a job that died without a word from one that runs
by the age of the last beat. `bright status` shows these files, `bright estimate` learns from them.
"""

import json
import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.atomic import write_json

BEAT_S = 5.0
RUNNING, DONE, FAILED, ENDED = "running", "done", "failed", "ended"
INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes of a stage that was asked to end


@dataclass
class Activity:
    """What this process does; `pipeline.base.progress` keeps it up to date."""

    log: Path | None = None
    description: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    rate: float = 0.0
    """Units per second since the start."""
    note: str = ""

    @property
    def left_s(self) -> float | None:
        return (self.total - self.done) / self.rate if self.rate > 0 else None


activity = Activity()


def record_path(log: Path) -> Path:
    """Where the record of the stage lies that logs to `log`."""
    return log.with_suffix(".progress.json")


def read_record(log: Path) -> dict[str, Any]:
    """The record of the stage that logs to `log`; empty where there is none that can be read."""
    try:
        return json.loads(record_path(log).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}


@contextmanager
def beating(activity: Activity = activity, every_s: float = BEAT_S) -> Iterator[None]:
    """Write the record now and then within the block, and how the block ended."""
    started_at = time.time()
    stop = threading.Event()
    lock = threading.Lock()

    def write(state: str, error: str = "") -> None:
        # One process of several speaks for all; and no job fails for want of a record.
        if activity.log is not None and os.environ.get("RANK", "0") == "0":
            with lock, suppress(OSError):
                write_json(record_path(activity.log), _record(activity, state, started_at, error))

    def beat() -> None:
        write(RUNNING)
        while not stop.wait(every_s if activity.log is not None else 0.5):
            write(RUNNING)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    state, error = FAILED, ""
    try:
        yield
        state = DONE
    except SystemExit as leave:
        state = DONE if leave.code in (None, 0) else ENDED if leave.code in INTERRUPTED else FAILED
        raise
    except BaseException as problem:
        error = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        raise
    finally:
        stop.set()
        thread.join()
        write(state, error)


def _record(activity: Activity, state: str, started_at: float, error: str) -> dict[str, Any]:
    now = time.time()
    return {
        "state": state,
        "error": error,
        "description": activity.description,
        "done": activity.done,
        "total": activity.total,
        "unit": activity.unit,
        "rate": activity.rate,
        "left_s": activity.left_s,
        "note": activity.note,
        "host": platform.node(),
        "process": os.getpid(),
        "device": _device(),
        "started_at": started_at,
        "updated_at": now,
        "seconds": now - started_at,
    }


def _device() -> str:
    """The GPU's name where this process uses one; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch.cuda.get_device_name() if torch is not None and torch.cuda.is_initialized() else "cpu"
