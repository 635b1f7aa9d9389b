"""Files that exist are whole: written beside their place, flushed, then renamed into it."""

import errno
import glob
import hashlib
import json
import os
import platform
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from pipeline.base.checksums import checksum_path, is_kept, take_checksum
from pipeline.base.errors import InputError
from pipeline.base.libraries import used_libraries

ABANDONED_AFTER_S = 7 * 24 * 3600  # nobody writes one file for a week


@contextmanager
def atomic_path(path: Path | str) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its place if the block ends without an exception.

    The temporary name keeps the suffix, since many writers choose their format by it; no two writers have the same,
    wherever they are. The file's mode is what the umask says. A result, or a saved state, gets its checksum beside it
    (`pipeline.base.checksums`): at no moment is there one of another content.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    temporary = path.with_name(f".{path.stem}.{writer}.partial{path.suffix}")
    _remove_leftovers(path)
    try:
        mode = _mode_of_new_files(temporary)
        yield temporary
        temporary.chmod(mode)  # safetensors writes files that only their owner can read
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _put(temporary, path)
        _flush_folder(path.parent)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder`, which takes its place, whole, if the block ends without an exception.

    InputError where something lies there: only an empty folder is replaced.
    """
    folder = folder.absolute()
    problem = InputError(f"{folder}: is there already; nothing is replaced: give another name, or remove it yourself")
    if folder.is_symlink() or (folder.exists() and not (folder.is_dir() and not any(folder.iterdir()))):
        raise problem
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    temporary.mkdir(parents=True)
    try:
        yield temporary
        try:
            temporary.rename(folder)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # filled meanwhile
                raise problem from None
            raise
        _flush_folder(folder.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(temporary: Path, path: Path) -> None:
    if not is_kept(path):
        temporary.replace(path)
        return
    text = replace(take_checksum(temporary), libraries=used_libraries()).text(path.name)
    checksum_path(path).unlink(missing_ok=True)
    temporary.replace(path)
    write_text(checksum_path(path), text)


@cache
def _machine() -> str:
    """Where a process id means this process: a machine since it started, and there a container."""
    with suppress(OSError):
        started = Path("/proc/sys/kernel/random/boot_id").read_text()
        return hashlib.sha256(f"{started} {Path('/proc/self/ns/pid').stat().st_ino}".encode()).hexdigest()[:12]
    return hashlib.sha256(platform.node().encode()).hexdigest()[:12]


def _mode_of_new_files(path: Path) -> int:
    path.touch(exist_ok=False)
    mode = path.stat().st_mode & 0o777
    path.unlink()
    return mode


def _remove_leftovers(path: Path) -> None:
    """Remove what processes that were killed while they wrote `path` left beside it.

    Of those on another machine, or before this one started again, nobody here can know: theirs go after a week.
    """
    for leftover in path.parent.glob(f".{glob.escape(path.stem)}.*.partial{glob.escape(path.suffix)}"):
        machine, process, _ = leftover.name.removesuffix(f".partial{path.suffix}").rsplit(".", 3)[-3:]
        with suppress(FileNotFoundError):
            here = machine == _machine() and process.isdigit()
            forgotten = time.time() - leftover.stat().st_mtime > ABANDONED_AFTER_S
            if not _alive(int(process)) if here else forgotten:
                leftover.unlink()


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)  # signal 0 only asks
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # somebody else's, but alive
    return True


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path | str, text: str) -> None:
    """Write `text` as UTF-8, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path | str, value: Any) -> None:
    """Write `value` as indented JSON, atomically; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, sort_keys=True, allow_nan=False) + "\n")
