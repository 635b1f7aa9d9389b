"""Fingerprints of raw collections and checkpoints: what their digests are made from (promise 1).

A fingerprint is of names and contents, never of times or of where the files lie, nor of the name of a single file. It
is taken once and kept in a small file that git can hold: results/fingerprints has one for each collection or
checkpoint, named by where the files lie, not by the config's name of them. A colleague without the files has the same
digests. Git keeps no times: those that the content was last seen with are in a file that git ignores,
results/work/fingerprints.json, as one digest for each.

Where a name, a size or a time is another than that, all files are read again, also after a touch or in a fresh clone:
mostly all times are others then, and a hash of each of 126,227 images would be 8 MB in git, to save what preparing or
importing a changed one reads again anyway. The same content is the same fingerprint, and nothing follows. A changed
file whose size and time are those of the old one is not noticed.

Files that are gone, emptied or can't be listed, as on a disk that is not mounted, change nothing: what is kept stands.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.base.atomic import write_json
from pipeline.base.errors import InputError
from pipeline.base.process import cores
from pipeline.base.progress import Progress, logger
from pipeline.data.listing import RawFile, checkpoint_files, printable, raw_files
from pipeline.settings.dataset import Dataset, EmbeddedSource, Source
from pipeline.settings.fields import Section
from pipeline.settings.weights import ForeignWeights, OwnWeights

FINGERPRINTS = Path("results/fingerprints")
LAST_SEEN = Path("results/work/fingerprints.json")

Files = Callable[[], list[RawFile]]
Counts = Callable[[], dict[str, int]]

SHOWN_FROM = 8 * 2**20  # bytes: less is read in a moment
FILES_AT_A_TIME = 1024
CHECKSUM = "checksum"
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
    with ThreadPoolExecutor(min(8, cores())) as threads:
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


class Fingerprints:
    """What is known of a config's collections and checkpoints, each looked at once; `keep` writes what is new.

    trusted: what is kept is taken without a look at the files, as by a cluster's jobs, whose run has looked. `where` is
    the config's key, for messages.
    """

    def __init__(self, trusted: bool = False):
        self.trusted = trusted
        self._found: dict[Path, Fingerprint | None] = {}
        self._seen: dict[str, str] = {}

    @cache  # noqa: B019 - one object lives as long as the process
    def collection(self, source: Source, where: str, split_list: Path | None = None) -> dict[str, Any]:
        """A collection's `sha256`, `files`, `bytes` and `images` by its parts, or that it is `absent`.

        With a text file that splits it also `list`: the file's sha256, or that it is absent.
        """
        facts = source.model_dump(mode="json")
        place = _place(source.name if isinstance(source, EmbeddedSource) else source.path.name, collection=facts)
        found = self._find(place, where, partial(raw_files, source, where), partial(_image_counts, source, where))
        known = {"absent": facts} if found is None else found.model_dump(exclude={"lists"})
        return known if split_list is None else known | {"list": self._list(place, split_list, where)}

    @cache  # noqa: B019
    def checkpoint(self, weights: ForeignWeights | OwnWeights, where: str) -> dict[str, Any]:
        """A checkpoint's `sha256`, `files` and `bytes`, or that it is `absent`."""
        place = _place(Path(weights.path or "").name, checkpoint=weights.path)
        found = self._find(place, where, partial(checkpoint_files, weights, where), dict)
        return {"absent": weights.path} if found is None else found.model_dump(exclude={"lists", "images"})

    def keep(self) -> None:
        """Write what was taken anew, and the times that it was seen with: for when a run really starts."""
        for place, found in self._found.items():
            if found is not None and found != read_fingerprint(place):
                write_fingerprint(place, found)
        if self._seen:
            write_json(LAST_SEEN, _last_seen() | self._seen)

    def _find(self, place: Path, where: str, files: Files, images: Counts) -> Fingerprint | None:
        """The fingerprint that belongs in this place; None where the files are absent and nothing is kept."""
        if place not in self._found:
            known = read_fingerprint(place)
            self._found[place] = known if self.trusted else self._look(place.name, known, where, files, images)
        return self._found[place]

    def _look(
        self, name: str, known: Fingerprint | None, where: str, files: Files, images: Counts
    ) -> Fingerprint | None:
        """What is kept, while it holds or nothing is there; else the fingerprint taken now."""
        try:
            listed = files()
        except InputError as error:
            if known is not None:
                logger.warning("%s; its kept fingerprint stands", error)
            return known
        if known is not None and _last_seen().get(name) == state_digest(listed, known.sha256):
            return known
        taken = fingerprint(listed, where)
        self._seen[name] = state_digest(listed, taken.sha256)
        if known is None:
            return taken.model_copy(update={"images": images()})
        if known.sha256 == taken.sha256:
            return known
        logger.warning("%s: other files than when its fingerprint was kept; what depends on them is made again", where)
        return taken.model_copy(update={"images": images(), "lists": known.lists})

    def _list(self, place: Path, path: Path, where: str) -> str | dict[str, str]:
        """The sha256 of a text file that splits the collection of this place."""
        found = self._found[place]
        kept = found.lists.get(str(path)) if found is not None else None
        if self.trusted and kept is not None:
            return kept
        if (problem := missing_list(path, where)) is not None:
            if kept is not None:
                logger.warning("%s; its kept fingerprint stands", problem)
            return kept or {"absent": str(path)}
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        if found is not None:
            self._found[place] = found.model_copy(update={"lists": found.lists | {str(path): sha256}})
        return sha256


def split_counts(facts: dict[str, Any], dataset: Dataset) -> dict[str, int]:
    """At most how many images each split has (fewer where images are skipped); nothing where it is not known."""
    counts = {part: min(count, dataset.limit or count) for part, count in facts.get("images", {}).items()}
    if "all" not in counts:
        return counts
    total, split = counts["all"], dataset.split
    if split.rule == "list":
        return {"train": total, "validation": total}  # the list is read when the dataset is prepared
    train, validation = max(0, total - split.validation), min(split.validation, total)
    return {"train": max(0, train - split.tuning), "validation": min(split.tuning, train) or validation}


def missing_source(source: Source, where: str) -> str | None:
    """One line saying that the raw images are not there; None where they are."""
    return _problem(partial(raw_files, source, where))


def missing_list(path: Path, where: str) -> str | None:
    """One line saying that a list of validation images is not there; `where` is the key of the dataset's source."""
    try:
        path.open("rb").close()
    except OSError as error:
        return f"{where.removesuffix('source')}split.list: {path}: not a readable text file ({error.strerror})"
    return None


def missing_checkpoint(weights: ForeignWeights | OwnWeights, where: str) -> str | None:
    """One line saying that a checkpoint is not there; None where it is."""
    return _problem(partial(checkpoint_files, weights, where))


def _problem(files: Files) -> str | None:
    try:
        files()
    except InputError as error:
        return str(error)
    return None


def _place(name: str, **facts: Any) -> Path:
    """The kept file: named by the last part of where the files lie, for people, and by a hash of all of it."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return FINGERPRINTS / f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', name) or 'root'}-{digest[:8]}.json"


def _image_counts(source: Source, where: str) -> dict[str, int]:
    """Images by part of the collection, counted by name; none of one that preparing will refuse."""
    from pipeline.data.sources import open_source  # with NumPy and Pillow, which a plan mostly needs not

    try:
        return {part: len(images.names()) for part, images in open_source(source, where).items()}
    except InputError:
        return {}


def write_fingerprint(place: Path, found: Fingerprint) -> None:
    """Keep a fingerprint, with a checksum of what it says."""
    values = found.model_dump(exclude_defaults=True)
    write_json(place, values | {CHECKSUM: _checksum(values)})


def read_fingerprint(place: Path) -> Fingerprint | None:
    """A kept fingerprint; None where there is none, InputError where it is not what was kept."""
    remedy = "bring it back with git, or delete it: it is taken again"
    try:
        values = json.loads(place.read_bytes())
        told = values.pop(CHECKSUM, None)
        found = Fingerprint.model_validate(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError, TypeError):
        raise InputError(f"{place}: not a readable fingerprint; {remedy}") from None
    if told is not None and told != _checksum(values):
        raise InputError(f"{place}: damaged: it does not have the checksum that it was kept with; {remedy}")
    return found


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _last_seen() -> dict[str, str]:
    """By the kept files' names; of a damaged one nothing, so that all is read again."""
    try:
        return dict(json.loads(LAST_SEEN.read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}
