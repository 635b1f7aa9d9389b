"""The stage's part of its job's record (`records`), written every few seconds and at its end.

The heartbeat also watches the processes that started the stage: a training ends after its run was killed, before the
next run starts it again.
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

import psutil

from bright_pipeline.base.errors import DeviceError, gpu_memory_problem
from bright_pipeline.base.progress import Activity, activity
from bright_pipeline.engine.records import REFUSED, Record, State, is_out_of_memory, used

BEAT_S = 5.0
WATCH_S = 0.5  # between looks at the processes that started this one
LAUNCHED = "BRIGHT_LAUNCHED"  # HOST:PROCESS of the launcher, which began the record and measures memory and CPU time
RUN = "BRIGHT_RUN"  # HOST:PROCESS of the Snakemake that started the job's shell
INTERRUPTED = (128 + signal.SIGINT, 128 + signal.SIGTERM)  # exit codes of a stage that was asked to end


@contextmanager
def beating(activity: Activity = activity, every_s: float = BEAT_S) -> Iterator[None]:
    """Write the record every few seconds within the block, and its final state at the end."""
    launched = LAUNCHED in os.environ
    record = Record(activity.log, begins=not launched, **({} if launched else {"started_at": time.time()}))
    stop = threading.Event()

    def write(state: State, error: str = "") -> None:
        record.log = activity.log
        if record.log is not None and os.environ.get("RANK", "0") == "0":  # the first of several processes writes
            facts = activity.facts | {"host": platform.node(), "process": os.getpid(), "device": _device()}
            record.write(state=state, error=error, **facts, **({} if launched else used()))

    def beat() -> None:
        watched, due = parents(), 0.0
        while True:
            if time.monotonic() >= due:
                write(State.RUNNING)
                due = time.monotonic() + (every_s if activity.log is not None else WATCH_S)
            if stop.wait(min(WATCH_S, every_s)):
                return
            if watched and not all(_is_alive(process) for process in watched):
                watched = []
                os.kill(os.getpid(), signal.SIGTERM)  # as for any other request to end

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    state, error = State.FAILED, ""
    try:
        yield
        state = State.DONE
    except SystemExit as leave:
        if leave.code in (None, 0):
            state = State.DONE
        elif leave.code in INTERRUPTED:
            state = State.INTERRUPTED
        raise
    except BaseException as problem:
        error = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        state = State.OUT_OF_MEMORY if is_out_of_memory(problem) else State.FAILED
        if isinstance(problem, DeviceError) or gpu_memory_problem(problem) is not None:
            record.log = activity.log
            record.write(**{REFUSED: True})  # each of several processes may say so
        raise
    finally:
        stop.set()
        thread.join()
        write(state, error)


def parents() -> list[psutil.Process | None]:
    """The run and the launcher that started this process, if they are on this machine; None for one that has ended."""
    processes: list[psutil.Process | None] = []
    for name in (RUN, LAUNCHED):
        host, _, process = os.environ.get(name, "").rpartition(":")
        if host == socket.gethostname() and process.isdigit():
            try:
                processes.append(psutil.Process(int(process)))
            except psutil.NoSuchProcess:  # before this process had started
                processes.append(None)
    return processes


def _is_alive(process: psutil.Process | None) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _device() -> str:
    """The name of the GPU that this process uses, else cpu. Does not import torch, which may be half imported."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    in_use = getattr(cuda, "is_initialized", lambda: False)()
    return str(cuda.get_device_name()) if cuda is not None and in_use else "cpu"
