"""The fingerprint of a raw collection: what a dataset's digest is made from (promise 1).

It is of names and contents, never of times or of where the collection lies. The listing's digest, of names
and sizes alone, is a cheap check of whether a fingerprint taken before still holds.
"""

import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress
from pipeline.config.dataset import EmbeddedSource, Source
from pipeline.config.fields import Section
from pipeline.data.listing import RawFile, embedded_sha256, printable, raw_files

BLOCK = 8 * 2**20  # bytes read at a time
FILES_AT_A_TIME = 1024
UNREADABLE = "unreadable"  # in place of the hash of a file that preparing names as unreadable, too


class Fingerprint(Section):
    """Names, sizes and contents of a collection, as digests."""

    files: int
    bytes: int
    sha256: str
    """Of every file's name, size and content."""
    listing_sha256: str
    """Of every file's name and size."""


def fingerprint(source: Source, where: str) -> Fingerprint:
    """Read the whole collection once; `where` is the config's key of the source, for errors."""
    files = raw_files(source, where)
    listing = _listing_digest(source, files)
    size = sum(max(0, file.size) for file in files)
    if isinstance(source, EmbeddedSource):
        hashes = [embedded_sha256(source)]  # of the uncompressed file; preparing checks it
    else:
        with Progress("fingerprint", size, "bytes", visible=size > BLOCK) as progress:
            hashes = list(_hashes(files, where, progress))
    return Fingerprint(
        files=len(files),
        bytes=size,
        sha256=_digest(files, hashes),
        listing_sha256=listing,
    )


def listing_digest(source: Source, where: str) -> str:
    """sha256 of the names and sizes; opens no image."""
    return _listing_digest(source, raw_files(source, where))


def _listing_digest(source: Source, files: list[RawFile]) -> str:
    return _digest(files, [embedded_sha256(source)] if isinstance(source, EmbeddedSource) else [""] * len(files))


def _hashes(files: list[RawFile], where: str, progress: Progress) -> Iterator[str]:
    """sha256 of every file's content, in order; by threads, since hashing leaves Python's lock."""

    def hash_one(file: RawFile) -> str:
        return _sha256(file.path, where)

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        for first in range(0, len(files), FILES_AT_A_TIME):
            batch = files[first : first + FILES_AT_A_TIME]
            for file, digest in zip(batch, threads.map(hash_one, batch), strict=True):
                progress.advance(max(0, file.size))
                yield digest


def _sha256(path: Path, where: str) -> str:
    if not path.is_file():  # a link to nowhere or a pipe; preparing names it
        return UNREADABLE
    digest = hashlib.sha256()
    try:
        with path.open("rb") as stream:
            while block := stream.read(BLOCK):
                digest.update(block)
    except PermissionError:
        return UNREADABLE
    except OSError as error:
        raise InputError(f"{where}.path: {printable(str(path))}: reading failed ({error.strerror})") from None
    return digest.hexdigest()


def _digest(files: list[RawFile], hashes: list[str]) -> str:
    """One digest of names (ended by NUL, which no name has), sizes and hashes."""
    digest = hashlib.sha256()
    for file, content in zip(files, hashes, strict=True):
        digest.update(file.name.encode("utf-8", "surrogateescape") + f"\0{file.size} {content}\n".encode())
    return digest.hexdigest()
