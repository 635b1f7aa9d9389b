"""Atomic writes: a file is written under a temporary name, flushed and renamed, so an existing file is complete."""

import errno
import glob
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import psutil

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import wait_for_lock
from bright_pipeline.base.paths import WORK
from bright_pipeline.engine.checksums import SUMS, Checksum, has_checksum, read_sums, sums_text, take_checksum
from bright_pipeline.engine.code import used_libraries

ABANDONED_AFTER_S = 7 * 24 * 3600  # no process writes one file for a week
UNSUPPORTED = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.EPERM)  # the operation is missing in a file system
SUMS_LOCK = WORK / "checksums.lock"
SUMS_PATIENCE_S = 60.0  # an update takes milliseconds; a lost update leaves a file without a checksum, not a wrong one


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`, renamed to `path` if the block ends without an exception.

    The temporary name keeps the suffix, since many writers choose their format by it, and is unique across processes
    and hosts. The file's mode follows the umask. A result or a saved state gets its line in the folder's SHA256SUMS
    (`bright_pipeline.engine.checksums`).
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{writer}.partial{path.suffix}")
    # Remove temporary files of killed processes. Whether a process on another machine or before the last boot is alive
    # is unknown: its files are removed after a week.
    for leftover in path.parent.glob(f".{glob.escape(path.stem)}.*.partial{glob.escape(path.suffix)}"):
        machine, process, _ = leftover.name.removesuffix(f".partial{path.suffix}").rsplit(".", 3)[-3:]
        with suppress(FileNotFoundError):
            here = machine == _machine() and process.isdigit()
            abandoned = time.time() - leftover.stat().st_mtime > ABANDONED_AFTER_S
            if not psutil.pid_exists(int(process)) if here else abandoned:
                leftover.unlink()
    try:
        temporary.touch(exist_ok=False)
        mode = temporary.stat().st_mode & 0o777
        temporary.unlink()
        yield temporary
        with _if_supported():
            temporary.chmod(mode)  # safetensors writes files that only their owner can read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        if has_checksum(path):
            # The line of a replaced file is removed first: a process killed in between leaves a file without a line,
            # which the next run adds, and never a file with the checksum of another content.
            checksum = replace(take_checksum(temporary), libraries=used_libraries())
            with locked_sums():
                if path.name in read_sums(path.parent):
                    update_sums(path.parent, {path.name: None})
                temporary.replace(path)
                update_sums(path.parent, {path.name: checksum})
        else:
            temporary.replace(path)
        _flush_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, renamed to it if the block ends without an exception.

    InputError if `folder` exists: only an empty folder is replaced.
    """
    folder = folder.absolute()
    problem = InputError(f"{folder}: exists, and nothing is replaced: give another name, or remove it yourself")
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise problem
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # filled in the meantime
                raise problem from None
            raise
        _flush_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def locked_sums() -> Iterator[None]:
    """Exclude other processes, on any host, that update a SHA256SUMS: shards of one folder end at the same time."""
    SUMS_LOCK.parent.mkdir(parents=True, exist_ok=True)
    with SUMS_LOCK.open("ab") as file:
        wait_for_lock(file, SUMS_PATIENCE_S)
        yield


def update_sums(folder: Path, changes: Mapping[str, Checksum | None]) -> None:
    """Add, replace or (None) remove files in a folder's SHA256SUMS, within `locked_sums`."""
    with atomic_path(folder / SUMS) as temporary:
        # Creating the temporary file made NFS drop what it cached of this folder: lines of other hosts are read too.
        sums = {**read_sums(folder), **changes}
        text = sums_text(folder, {name: checksum for name, checksum in sums.items() if checksum is not None})
        temporary.write_text(text, encoding="utf-8")


@cache
def _machine() -> str:
    """Identifies the scope of process ids: a machine since its last boot, or a container on it."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256(f"{boot} {Path('/proc/self/ns/pid').stat().st_ino}".encode()).hexdigest()[:12]
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with _if_supported():
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _if_supported() -> Iterator[None]:
    """Go on where a file system lacks the operation: CIFS and some FUSE mounts neither flush folders nor set modes."""
    try:
        yield
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically. ValueError for NaN and infinity, which JSON does not have."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
