"""The fingerprint of a raw collection or a checkpoint: what its digest is made from (promise 1).

It is of names and contents, never of times or of where the files lie, nor of the name of a single file.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic import Field

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.data.listing import RawFile, printable
from pipeline.settings.fields import Section

SHOWN_FROM = 8 * 2**20  # bytes: less is read in a moment
FILES_AT_A_TIME = 1024
UNREADABLE = "unreadable"  # in place of the hash of a file that preparing names as unreadable, too


class Fingerprint(Section):
    """What is known of a collection or a checkpoint, without its files."""

    files: int
    bytes: int
    sha256: str
    """Of every file's name, size and content."""
    images: dict[str, int] = Field(default_factory=dict)
    """Of a collection, by its parts; no digest is made from them."""
    lists: dict[str, str] = Field(default_factory=dict)
    """sha256 of the text files that split a collection, by their paths."""


def fingerprint(files: list[RawFile], where: str) -> Fingerprint:
    """Read the files once; `where` is the config's key, for errors. `images` and `lists` are left empty."""
    size = sum(max(0, file.size) for file in files)
    with Progress("fingerprint", size, "bytes", visible=size > SHOWN_FROM) as progress:
        sha256 = _digest(files, _hashes(files, where, progress))
    return Fingerprint(files=len(files), bytes=size, sha256=sha256)


def state_digest(files: list[RawFile], content: str) -> str:
    """One digest of names, sizes and times, and of the content that was found with them; opens no file."""
    return _digest(files, (f"{file.modified} {content}" for file in files))


def _hashes(files: list[RawFile], where: str, progress: Progress) -> Iterator[str]:
    """sha256 of every file's content, in order; by threads, since hashing leaves Python's lock."""

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for first in range(0, len(files), FILES_AT_A_TIME):
            batch = files[first : first + FILES_AT_A_TIME]
            for file, digest in zip(
                batch, threads.map(lambda file: file.sha256 or _sha256(file, where), batch), strict=True
            ):
                progress.advance(max(0, file.size))
                yield digest


def _sha256(file: RawFile, where: str) -> str:
    path = Path(file.path)
    if not path.is_file():  # a link to nowhere or a pipe; preparing names it
        return UNREADABLE
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except PermissionError:
        return UNREADABLE
    except OSError as error:
        raise InputError(f"{where}.path: {printable(str(path))}: reading failed ({error.strerror})") from None


def _digest(files: list[RawFile], facts: Iterable[str]) -> str:
    """One digest of names (ended by NUL, which no name has), sizes and a fact of each file."""
    digest = hashlib.sha256()
    for file, fact in zip(files, facts, strict=True):
        digest.update(file.name.encode("utf-8", "surrogateescape") + f"\0{file.size} {fact}\n".encode())
    return digest.hexdigest()
