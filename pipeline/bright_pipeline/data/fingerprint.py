"""Fingerprints of raw collections and checkpoints: the part of digests that stands for their content (promise 1).

A fingerprint covers names and contents, but neither times, nor paths, nor the name of a single file. It is computed
once and stored in results/fingerprints, in a small file per collection or checkpoint that git can track. The file is
named by the path of the collection, not by its name in the config. A colleague without the raw files has the same
digests. The times of the files, which git does not track, are hashed into results/work/fingerprints.json, which git
ignores.

If a name, a size or a time has changed, as after a touch or in a fresh clone, all files are read again. The same
content gives the same fingerprint, and nothing is recomputed. (A hash per image would take 8 MB in git for 126,227
images and save little: preparing a changed collection reads all files anyway.) A changed file with the same size and
time is not detected.

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
from bright_pipeline.data.listing import RawFile, checkpoint_files, missing_list, printable, raw_files
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.settings.dataset import Dataset, EmbeddedSource, Source
from bright_pipeline.settings.fields import Section
from bright_pipeline.settings.weights import ForeignWeights, OwnWeights

FINGERPRINTS = Path("results/fingerprints")
LAST_SEEN = Path("results/work/fingerprints.json")

Files = Callable[[], list[RawFile]]
Counts = Callable[[], dict[str, int]]

SHOWN_FROM = 8 * 2**20  # bytes: below, no progress bar
FILES_AT_A_TIME = 1024
CHECKSUM = "checksum"
UNREADABLE = "unreadable"  # replaces the hash of a file that preparation reports as unreadable


class Fingerprint(Section):
    """Facts about a collection or a checkpoint that are known without its files."""

    files: int
    bytes: int
    sha256: str
    """Of the names, sizes and contents of all files."""
    images: dict[str, int] = Field(default_factory=dict)
    """Numbers of images in each part of a collection; not part of any digest."""
    lists: dict[str, str] = Field(default_factory=dict)
    """sha256 of text files that split the collection, by path."""


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
        self._found: dict[Path, Fingerprint | None] = {}
        self._seen: dict[str, str] = {}

    @cache  # noqa: B019 - one object lives as long as the process
    def collection(self, source: Source, where: str, split_list: Path | None = None) -> dict[str, Any]:
        """A collection's `sha256`, `files`, `bytes` and `images` by part, or only `absent`.

        With a text file that splits the collection, also `list`: its sha256, or that it is absent.
        """
        facts = source.model_dump(mode="json")
        place = _place(source.name if isinstance(source, EmbeddedSource) else source.path.name, collection=facts)
        found = self._find(place, where, partial(raw_files, source, where), partial(image_counts, source, where))
        known = {"absent": facts} if found is None else found.model_dump(exclude={"lists"})
        return known if split_list is None else known | {"list": self._list(place, split_list, where)}

    @cache  # noqa: B019
    def checkpoint(self, weights: ForeignWeights | OwnWeights, where: str) -> dict[str, Any]:
        """A checkpoint's `sha256`, `files` and `bytes`, or only `absent`."""
        place = _place(Path(weights.path or "").name, checkpoint=weights.path)
        found = self._find(place, where, partial(checkpoint_files, weights, where), dict)
        return {"absent": weights.path} if found is None else found.model_dump(exclude={"lists", "images"})

    def keep(self) -> None:
        """Store new fingerprints and the times of their files; called when a run really starts."""
        for place, found in self._found.items():
            if found is not None and found != read_fingerprint(place):
                write_fingerprint(place, found)
        if self._seen:
            write_json(LAST_SEEN, _last_seen() | self._seen)

    def _find(self, place: Path, where: str, files: Files, images: Counts) -> Fingerprint | None:
        """The stored fingerprint if it is trusted or valid, or the files are missing; otherwise a new one."""
        if place in self._found:
            return self._found[place]
        known = self._found[place] = read_fingerprint(place)
        if self.trusted:
            return known
        try:
            listed = files()
        except InputError as error:
            if known is not None:
                logger.warning("%s; its stored fingerprint is used", error)
            return known
        if known is None or _last_seen().get(place.name) != _state_digest(listed, known.sha256):
            taken = fingerprint(listed, where)
            self._seen[place.name] = _state_digest(listed, taken.sha256)
            if known is None or known.sha256 != taken.sha256:
                self._found[place] = taken.model_copy(
                    update={"images": images(), "lists": known.lists if known else {}}
                )
                if known is not None:
                    message = "%s: its files differ from the stored fingerprint; dependent results are recomputed"
                    logger.warning(message, where)
        return self._found[place]

    def _list(self, place: Path, path: Path, where: str) -> str | dict[str, str]:
        """The sha256 of the list file of this collection's split."""
        found = self._found[place]
        stored = found.lists.get(str(path)) if found is not None else None
        if self.trusted and stored is not None:
            return stored
        if (problem := missing_list(path, where)) is not None:
            if stored is not None:
                logger.warning("%s; its stored fingerprint is used", problem)
            return stored or {"absent": str(path)}
        sha256 = _list_sha256(path)
        if found is not None:
            self._found[place] = found.model_copy(update={"lists": found.lists | {str(path): sha256}})
        return sha256


def check_as_planned(planned: str | None, read: Source | ForeignWeights | OwnWeights | Path, where: str) -> None:
    """InputError if what a stage has read, a Path for a list, is not what the run was planned with.

    planned: the sha256 of its fingerprint, or of the list; None where the stage runs by hand.
    """
    if planned is None:
        return
    match read:
        case Path():
            sha256 = _list_sha256(read)
        case ForeignWeights() | OwnWeights():
            sha256 = fingerprint(checkpoint_files(read, where), where).sha256
        case _:
            sha256 = fingerprint(raw_files(read, where), where).sha256
    if sha256 != planned:
        LAST_SEEN.unlink(missing_ok=True)  # the next plan reads all files, also where size and time are the old ones
        raise InputError(f"{where}: changed since the run was planned; start it again")


def _list_sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def split_counts(facts: dict[str, Any], dataset: Dataset) -> dict[str, int]:
    """An upper bound of the number of images in each split (some may be skipped); empty if it is unknown."""
    counts = {part: min(count, dataset.limit or count) for part, count in facts.get("images", {}).items()}
    if "all" not in counts:
        return counts
    total, split = counts["all"], dataset.split
    if split.rule == "list":
        return {"train": total, "validation": total}  # the list is read when the dataset is prepared
    train, validation = max(0, total - split.validation), min(split.validation, total)
    return {"train": max(0, train - split.tuning), "validation": min(split.tuning, train) or validation}


def missing_source(source: Source, where: str) -> str | None:
    """One line if the raw images are missing, otherwise None."""
    return _problem(partial(raw_files, source, where))


def missing_checkpoint(weights: ForeignWeights | OwnWeights, where: str) -> str | None:
    """One line if a checkpoint is missing, otherwise None."""
    return _problem(partial(checkpoint_files, weights, where))


def _problem(files: Files) -> str | None:
    try:
        files()
    except InputError as error:
        return str(error)
    return None


def _place(name: str, **facts: Any) -> Path:
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


def write_fingerprint(place: Path, found: Fingerprint) -> None:
    """Store a fingerprint with a checksum of its values."""
    values = found.model_dump(exclude_defaults=True)
    write_json(place, values | {CHECKSUM: _checksum(values)})


def read_fingerprint(place: Path) -> Fingerprint | None:
    """A stored fingerprint, or None if there is none; InputError if it is damaged."""
    remedy = "restore it with git, or delete it to compute it again"
    try:
        values = read_json(place, str(place)) if place.exists() else None
        if values is None:
            return None
        checksum = values.pop(CHECKSUM, None)
        found = Fingerprint.model_validate(values)
    except (InputError, ValueError, AttributeError, TypeError):
        raise InputError(f"{place}: not a readable fingerprint; {remedy}") from None
    if checksum is not None and checksum != _checksum(values):
        raise InputError(f"{place}: damaged: its checksum does not match; {remedy}")
    return found


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _last_seen() -> dict[str, str]:
    """State digests by the names of the fingerprint files; empty if damaged, so that all files are read again."""
    try:
        return dict(read_json(LAST_SEEN, str(LAST_SEEN)))
    except (InputError, ValueError, TypeError):
        return {}
