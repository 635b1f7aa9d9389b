"""Fingerprints of raw collections and checkpoints: the part of digests that covers their content (promise 1).

A fingerprint covers names and contents, but neither times, nor paths, nor the name of a single file. It is computed
once and stored in results/fingerprints, in a small file per collection or checkpoint that git can track. The file is
named by the path of the collection, not by its name in the config. A colleague without the raw files has the same
digests. The times of the files, which git does not track, are hashed into results/work/fingerprints.json, which git
ignores.

If a name, a size or a time has changed, as after a touch or in a fresh clone, all files are read again. The same
content gives the same fingerprint, and nothing is recomputed. A changed file with the same size and time is not
detected.

Files that are missing, empty or unreadable, as on a disk that is not mounted, change nothing: the stored fingerprint is
used.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import Field

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.process import cores
from bright_pipeline.base.progress import Progress, logger
from bright_pipeline.data.listing import RawFile, Read, missing_list, printable, raw_files
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.settings.dataset import Dataset, EmbeddedSource, Source
from bright_pipeline.settings.fields import Section
from bright_pipeline.settings.weights import ForeignWeights, OwnWeights

FINGERPRINTS = Path("results/fingerprints")
LAST_SEEN = Path("results/work/fingerprints.json")

SHOWN_FROM = 8 * 2**20  # bytes: below, no progress bar
FILES_AT_A_TIME = 1024
CHECKSUM = "checksum"
UNREADABLE = "unreadable"  # replaces the hash of a file that preparation reports as unreadable


class Fingerprint(Section):
    """Facts about a collection or a checkpoint that are known without its files."""

    files: int
    bytes: int
    sha256: str  # of the names, sizes and contents of all files
    images: dict[str, int] = Field(default_factory=dict)  # in each part of a collection; not in any digest
    lists: dict[str, str] = Field(default_factory=dict)  # sha256 of the lists of splits, by path


def fingerprint(files: list[RawFile], where: str) -> Fingerprint:
    """Read the files once. `where` is the config's key, for errors. `images` and `lists` stay empty."""
    size, hashes = sum(max(0, file.size) for file in files), list[str]()
    shown = Progress("fingerprint", size, "bytes", visible=size > SHOWN_FROM)
    with shown as progress, ThreadPoolExecutor(min(8, cores())) as threads:  # hashing releases Python's lock
        for first in range(0, len(files), FILES_AT_A_TIME):
            batch = files[first : first + FILES_AT_A_TIME]
            for file, sha256 in zip(batch, threads.map(lambda file: _sha256(file, where), batch), strict=True):
                progress.advance(max(0, file.size))
                hashes.append(sha256)
    return Fingerprint(files=len(files), bytes=size, sha256=_digest(files, hashes))


def _state_digest(files: list[RawFile], content: str) -> str:
    """A digest of names, sizes and times, and of the content found with them; opens no file."""
    return _digest(files, (f"{file.modified} {content}" for file in files))


def _sha256(file: RawFile, where: str) -> str:
    path = Path(file.path)
    if file.sha256:
        return file.sha256
    if not path.is_file():  # a broken link or a pipe; preparation reports it
        return UNREADABLE
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except PermissionError:
        return UNREADABLE
    except OSError as error:
        raise InputError(f"{where}.path: {printable(str(path))}: reading failed ({error.strerror})") from None


def _digest(files: list[RawFile], facts: Iterable[str]) -> str:
    """A digest of the name (ended by NUL, which no name contains), the size and a fact of each file."""
    digest = hashlib.sha256()
    for file, fact in zip(files, facts, strict=True):
        digest.update(file.name.encode("utf-8", "surrogateescape") + f"\0{file.size} {fact}\n".encode())
    return digest.hexdigest()


class Fingerprints:
    """Facts about the collections and checkpoints of a config, each read once. `keep` stores new fingerprints.

    trusted: use stored fingerprints without reading the files, as in a cluster job, whose run has read them.
    The methods' argument `where` is the config's key, for messages.
    """

    def __init__(self, trusted: bool = False):
        self.trusted = trusted
        self._fingerprints: dict[Path, Fingerprint | None] = {}  # by the path of their file
        self._seen: dict[str, str] = {}

    @cache  # noqa: B019 - one object lives as long as the process
    def collection(self, source: Source, where: str, split_list: Path | None = None) -> dict[str, Any]:
        """A collection's `sha256`, `files`, `bytes`, `images` by part, or `absent`; `list`: of its split's file."""
        facts = source.model_dump(mode="json")
        path = _stored_path(source.name if isinstance(source, EmbeddedSource) else source.path.name, collection=facts)
        fingerprint = self._find(path, source, where, partial(image_counts, source, where))
        content = {"absent": facts} if fingerprint is None else fingerprint.model_dump(exclude={"lists"})
        return content if split_list is None else content | {"list": self._list(path, split_list, where)}

    @cache  # noqa: B019
    def checkpoint(self, weights: ForeignWeights | OwnWeights, where: str) -> dict[str, Any]:
        """A checkpoint's `sha256`, `files` and `bytes`, or only `absent`."""
        path = _stored_path(Path(weights.path or "").name, checkpoint=weights.path)
        fingerprint = self._find(path, weights, where, dict)
        return {"absent": weights.path} if fingerprint is None else fingerprint.model_dump(exclude={"lists", "images"})

    def keep(self) -> None:
        """Store new fingerprints and the times of their files; called when a run really starts."""
        for path, fingerprint in self._fingerprints.items():
            if fingerprint is not None and fingerprint != read_fingerprint(path):
                write_fingerprint(path, fingerprint)
        if self._seen:
            write_json(LAST_SEEN, _last_seen() | self._seen)

    def _find(self, path: Path, read: Read, where: str, images: Callable[[], dict[str, int]]) -> Fingerprint | None:
        """The stored fingerprint if it is trusted or valid, or the files are missing; otherwise a new one."""
        if path in self._fingerprints:
            return self._fingerprints[path]
        stored = self._fingerprints[path] = read_fingerprint(path)
        if self.trusted:
            return stored
        try:
            files = raw_files(read, where)
        except InputError as error:
            if stored is not None:
                logger.warning("%s; its stored fingerprint is used", error)
            return stored
        if stored is None or _last_seen().get(path.name) != _state_digest(files, stored.sha256):
            new = fingerprint(files, where)
            self._seen[path.name] = _state_digest(files, new.sha256)
            if stored is None or stored.sha256 != new.sha256:
                lists = stored.lists if stored else {}
                self._fingerprints[path] = new.model_copy(update={"images": images(), "lists": lists})
                if stored is not None:
                    message = "%s: its files differ from the stored fingerprint; dependent results are recomputed"
                    logger.warning(message, where)
        return self._fingerprints[path]

    def _list(self, fingerprint_path: Path, path: Path, where: str) -> str | dict[str, str]:
        """The sha256 of the list file of this collection's split."""
        fingerprint = self._fingerprints[fingerprint_path]
        stored = fingerprint.lists.get(str(path)) if fingerprint is not None else None
        if self.trusted and stored is not None:
            return stored
        if (problem := missing_list(path, where)) is not None:
            if stored is not None:
                logger.warning("%s; its stored fingerprint is used", problem)
            return stored or {"absent": str(path)}
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if fingerprint is not None:
            lists = fingerprint.lists | {str(path): sha256}
            self._fingerprints[fingerprint_path] = fingerprint.model_copy(update={"lists": lists})
        return sha256


def check_as_planned(planned: str | None, read: Read | Path, where: str) -> None:
    """InputError if what a stage read (a Path: a list) has another sha256 than planned; None: run by hand."""
    if planned is None:
        return
    if isinstance(read, Path):
        sha256 = hashlib.sha256(read.read_bytes()).hexdigest()
    else:
        sha256 = fingerprint(raw_files(read, where), where).sha256
    if sha256 != planned:
        LAST_SEEN.unlink(missing_ok=True)  # the next plan reads all files, also where size and time are the old ones
        raise InputError(f"{where}: changed since the run was planned; start it again")


def split_counts(facts: dict[str, Any], dataset: Dataset) -> dict[str, int]:
    """An upper bound of the number of images in each split (some may be skipped); empty if it is unknown."""
    counts = {part: min(count, dataset.limit or count) for part, count in facts.get("images", {}).items()}
    if "all" not in counts:
        return counts
    total, split = counts["all"], dataset.split
    if split.rule == "list":
        return {"train": total, "validation": total}  # the list is read when the dataset is prepared
    train, validation = max(0, total - split.validation), min(split.validation, total)
    used = max(0, train - split.tuning)
    return {"train": min(used, split.train or used), "validation": min(split.tuning, train) or validation}


def missing_files(read: Read, where: str) -> str | None:
    """One line if a collection or a checkpoint is missing, otherwise None."""
    try:
        raw_files(read, where)
    except InputError as error:
        return str(error)
    return None


def _stored_path(name: str, **facts: Any) -> Path:
    """The file of a fingerprint, named by the last part of a path, for readability, and a hash of all facts."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return FINGERPRINTS / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name) or 'root'}-{digest[:8]}.json"


def image_counts(source: Source, where: str) -> dict[str, int]:
    """Images in each part of a collection, counted by name; empty if it is missing or preparation will refuse it."""
    from bright_pipeline.data.sources import open_source  # imports NumPy and Pillow, which a plan rarely needs

    try:
        return {part: len(images.names()) for part, images in open_source(source, where).items()}
    except InputError:
        return {}


def write_fingerprint(path: Path, fingerprint: Fingerprint) -> None:
    """Store a fingerprint with a checksum of its values."""
    values = fingerprint.model_dump(exclude_defaults=True)
    write_json(path, values | {CHECKSUM: _checksum(values)})


def read_fingerprint(path: Path) -> Fingerprint | None:
    """A stored fingerprint, or None if there is none; InputError if it is damaged."""
    remedy = "restore it with git, or delete it to compute it again"
    try:
        values = read_json(path, str(path)) if path.exists() else None
        if values is None:
            return None
        checksum = values.pop(CHECKSUM, None)
        fingerprint = Fingerprint.model_validate(values)
    except (InputError, ValueError, AttributeError, TypeError):
        raise InputError(f"{path}: not a readable fingerprint; {remedy}") from None
    if checksum is not None and checksum != _checksum(values):
        raise InputError(f"{path}: damaged: its checksum does not match; {remedy}")
    return fingerprint


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _last_seen() -> dict[str, str]:
    """State digests by the names of the fingerprint files; empty if damaged, so that all files are read again."""
    try:
        return dict(read_json(LAST_SEEN, str(LAST_SEEN)))
    except (InputError, ValueError, TypeError):
        return {}
