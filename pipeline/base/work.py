"""A training's work folder has one writer: a lock (flock) on a file in it, which holds across hosts where flock does.

The kernel ends a lock with the process that holds it, and all that it forked. Where the file system has no locks, work
goes on without.
"""

import fcntl
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from pipeline.base.errors import InputError

LOCK = "lock"
PATIENCE_S = 60.0  # of a second training: the first one may be about to end, such as one whose run was killed


def hold(folder: Path, patience_s: float = PATIENCE_S, wait: Callable[[str], None] = print) -> IO[str]:
    """Hold the folder as long as the returned file is open; InputError where another process keeps it.

    `wait` is told once that it takes a while, and for whom.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("a+", encoding="utf-8")
    until, told = time.monotonic() + patience_s, False
    while not _taken(file):
        if not told:
            wait(f"{folder}: waiting for {holder(folder)}, who trains here")
            told = True
        if time.monotonic() > until:
            file.close()
            raise InputError(f"{folder}: {holder(folder)} trains here; wait for its end, or end it")
        time.sleep(0.2)
    file.truncate(0)
    json.dump({"host": platform.node(), "process": os.getpid()}, file)
    file.flush()
    return file


def is_held(folder: Path) -> bool:
    """Whether a training writes into this folder, on this host or another one."""
    try:
        with (folder / LOCK).open("r+", encoding="utf-8") as file:
            return not _taken(file)
    except OSError:
        return False


def holder(folder: Path) -> str:
    """Who holds a folder, in words."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        found = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return f"process {found['process']} on {found['host']}"
    return "another process"


def _taken(file: IO[str]) -> bool:
    """Whether the lock is this file's now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # no locks here
    return True
