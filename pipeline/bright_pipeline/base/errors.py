"""Errors that the user can fix, each reported in one line: bad input, disks that cannot be written, small GPUs."""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

MAX_ERROR_CHARACTERS = 200  # a library's message may quote all the bytes that it failed to read
MAX_LINE_CHARACTERS, LAST_CHARACTERS = 1500, 300  # the end of a message says what would be right
FREE_SPACE = "free some space, then start the same command again: finished results stay, and trainings resume"
PROJECT = "bright-pipeline"
NOT_WRITABLE = "this user may not write here; results need a writable folder"
NO_GPU_MEMORY = re.compile(r"CUDA (error: )?out of memory|CU(BLAS|DNN)_STATUS_ALLOC_FAILED")
DISK_ERRORS = {
    errno.ENOSPC: f"no space left on the device; {FREE_SPACE}",
    errno.EDQUOT: f"the disk quota is used up; {FREE_SPACE}",
    errno.EROFS: "the file system is read-only here; put results where they can be written",
    errno.EACCES: NOT_WRITABLE,
    errno.EPERM: NOT_WRITABLE,
    errno.EIO: "the disk fails (input/output error); check it, then start the same command again",
}


class InputError(Exception):
    """Bad input, reported in one line: what is wrong, where, and what would be right. A long line loses its middle."""

    def __init__(self, text: str) -> None:
        over = len(text) - MAX_LINE_CHARACTERS
        super().__init__(f"{text[: -over - LAST_CHARACTERS]} ... {text[-LAST_CHARACTERS:]}" if over > 0 else text)


class DeviceError(InputError):
    """A GPU is missing, unusable or too small: a further attempt at the same job ends in the same way."""


def error_text(error: Exception | str) -> str:
    """A library's error or its message on one line, shortened."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= MAX_ERROR_CHARACTERS else f"{text[:MAX_ERROR_CHARACTERS]}..."


@contextmanager
def readable(line: str, remedy: str = "") -> Iterator[None]:
    """Raise InputError, LINE (MESSAGE)REMEDY, for any error within the block: damaged bytes make readers raise any."""
    try:
        yield
    except (InputError, MemoryError):
        raise
    except Exception as error:
        raise InputError(f"{line} ({error_text(error)}){remedy}") from None


def error_line(error: BaseException) -> str | None:
    """One line for an error that the user can fix; None for any other error."""
    if isinstance(error, InputError):
        return str(error)
    return disk_problem(error) or gpu_memory_problem(error) or missing_package(error)


def disk_problem(error: BaseException) -> str | None:
    """One line for an error of a disk or folder, with the file if it is known; None for any other error."""
    in_text = re.search(r"\(os error (\d+)\)", str(error))  # the only place where libraries written in Rust give it
    number = error.errno if isinstance(error, OSError) else int(in_text[1]) if in_text else None
    file = getattr(error, "filename", None)
    if number not in DISK_ERRORS:
        return f"{str(file)[:MAX_ERROR_CHARACTERS]}: {error.strerror}" if file and isinstance(error, OSError) else None
    return f"{file}: {DISK_ERRORS[number]}" if file else DISK_ERRORS[number]


def gpu_memory_problem(error: BaseException) -> str | None:
    """One line for an allocation that a GPU's memory had no room for; None for any other error."""
    if not isinstance(error, RuntimeError) or not NO_GPU_MEMORY.search(str(error)):
        return None
    remedy = "lower execution.micro_batch or set execution.checkpointing: true (its results keep their digest)"
    return f"{error_text(error)}; in a training, {remedy}; in other stages, lower micro_batch"


def missing_package(error: BaseException) -> str | None:
    """One line for an import of a package that is not installed: what to install; None for any other error."""
    if not isinstance(error, ModuleNotFoundError) or error.name is None:
        return None
    name = error.name.partition(".")[0]
    return f"{name} is not installed: pip install {wanted}" if (wanted := extra_with(name)) else None


@contextmanager
def naming_extras() -> Iterator[None]:
    """Within the block, or a function with this decorator, a package of an extra that is missing raises InputError."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (line := missing_package(error)) is None:
            raise
        raise InputError(line) from error


def extra_with(module: str) -> str | None:
    """This project with the first extra that has a module's package, quoted for pip; None if no extra has it."""

    def letters(name: str) -> str:
        return re.sub(r"[-_.]", "", name.lower())  # cleanfid is of clean-fid

    for requirement in metadata.requires(PROJECT) or []:
        (name,), extra = re.findall(r"^[\w.-]+", requirement), re.search(r"extra == [\"']([\w-]+)", requirement)
        if letters(name) == letters(module):
            return f"'{PROJECT}[{extra[1]}]'" if extra else f"'{PROJECT}'"
    return None
