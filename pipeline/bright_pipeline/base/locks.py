"""File locks (flock), across hosts if the file system supports it; they end with their process and all its forks."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from bright_pipeline.base.errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # the first module of every stage and command that Windows lacks
    sys.exit("error: Windows is not supported; run this in WSL, its Linux subsystem: `wsl --install`")

LOCK = "lock"
PATIENCE_S = 60.0  # a training whose run was killed may be about to end


def try_lock(file: IO[str] | IO[bytes] | int) -> bool:
    """Lock an open file unless another process holds the lock; returns False if one does."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def wait_for_lock(file: IO[str] | IO[bytes], patience_s: float) -> bool:
    """Lock an open file as soon as it is free; returns False if it is still locked after `patience_s` seconds."""
    deadline = time.monotonic() + patience_s
    while not try_lock(file):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def lock_work_folder(folder: Path, patience_s: float = PATIENCE_S, report: Callable[[str], None] = print) -> IO[bytes]:
    """Make this process the only writer of a training's work folder as long as the returned file is open.

    `report` gets one line if it has to wait. InputError if another process still holds the lock after `patience_s`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = (folder / LOCK).open("a+b", buffering=0)  # a buffer would be flushed again on a full disk, when it is closed
    if not try_lock(file):
        report(f"{folder}: waiting for {lock_holder(folder)}, which trains here")
        if not wait_for_lock(file, patience_s):
            file.close()
            raise InputError(f"{folder}: {lock_holder(folder)} trains here; wait for it to end, or stop it")
    file.truncate(0)
    file.write(json.dumps({"host": platform.node(), "process": os.getpid()}).encode())
    return file


def is_locked(folder: Path) -> bool:
    """Whether a training, on any host, writes into this work folder."""
    try:
        with (folder / LOCK).open("r+", encoding="utf-8") as file:
            return not try_lock(file)
    except OSError:
        return False


def lock_holder(folder: Path) -> str:
    """The process that holds a work folder's lock, for messages."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        holder = json.loads((folder / LOCK).read_text(encoding="utf-8"))
        return f"process {holder['process']} on {holder['host']}"
    return "another process"
