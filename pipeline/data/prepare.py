"""A raw collection becomes two archives of square PNGs, for training and for validation (section 4).

Images are taken in the order of their names. One pass decodes them, in parallel, into a temporary file
beside the archives; then the split is made over the usable images and the archives are written. The
archives' bytes depend on neither the number of processes nor the clock.
"""

import hashlib
import multiprocessing
import tempfile
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

import PIL

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress, logger
from pipeline.data.archive import ArchiveWriter, encode_png, image_name, joined_digest, pixel_digest
from pipeline.data.decode import BadImage, square_pixels
from pipeline.data.listing import EMBEDDED_COLLECTIONS, printable
from pipeline.data.sources import open_source
from pipeline.settings.dataset import Dataset, EmbeddedSource, Split

CHUNK = 16  # images that a worker process gets at a time: what a terminated stage still waits for
FEW = 10_000  # below, the manifest lists the images' original names
TASKS_AHEAD = 3  # per worker: handed out beyond the result that is waited for

Chunk = list[tuple[str, str]]  # part and name of each image

Task = TypeVar("Task")
Result = TypeVar("Result")

_function: Callable[[Any], Any]  # of a worker process


def ordered_map(
    make: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task], workers: int
) -> Generator[Result, None, None]:
    """make()(task) for every task, in the tasks' order, whatever the number of processes.

    `make` is called once in every process, so that each opens its own files. Unlike `Pool.imap` the map
    never runs far ahead of its reader: results can't pile up in memory. Processes are spawned, not
    forked: threads and open files of this one don't reach them.
    """
    if workers == 1:
        yield from map(make(), tasks)
        return
    remaining = iter(tasks)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (make,))
    try:
        waiting: deque[Future[Result]] = deque()
        waiting.extend(pool.submit(_call, task) for task in islice(remaining, workers * (1 + TASKS_AHEAD)))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_call, task) for task in islice(remaining, 1))
    except BrokenProcessPool:
        raise InputError(
            "--workers: a worker process was killed, most likely for want of memory; try fewer workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    _function = make()


def _call(task: Any) -> Any:
    return _function(task)


@dataclass(frozen=True)
class Outcome:
    """What became of one raw image: a PNG and its pixels' digest, or a reason why not."""

    part: str
    name: str
    png: bytes = b""
    digest: bytes = b""
    reason: str | None = None
    start: int = 0
    size: int = 0
    """Of the PNG in the temporary file, once it is there and no longer here."""


class ImagePreparer:
    """Prepares chunks of a collection's images; every process has its own."""

    def __init__(self, dataset: Dataset, where: str):
        self.dataset = dataset
        self.parts = open_source(dataset.source, f"{where}.source")

    def __call__(self, chunk: Chunk) -> list[Outcome]:
        return [self.outcome(part, name) for part, name in chunk]

    def outcome(self, part: str, name: str) -> Outcome:
        """One image, decoded, cropped, resized and encoded."""
        try:
            pixels = square_pixels(self.parts[part].image(name, self.dataset.channels), self.dataset)
        except BadImage as error:
            return Outcome(part, name, reason=printable(str(error)))
        return Outcome(part, name, encode_png(pixels), pixel_digest(pixels))


class Preparation:
    """One run of `prepare`: what was kept, what was skipped."""

    def __init__(self, dataset: Dataset, workers: int, where: str):
        self.dataset, self.workers, self.where = dataset, workers, where
        self.parts = open_source(dataset.source, f"{where}.source")
        self.kept: list[Outcome] = []
        self.skipped: list[Outcome] = []
        self.twice: list[tuple[Outcome, Outcome]] = []
        """Validation images that are training images too, and those."""

    def read(self, spool: IO[bytes]) -> None:
        """Prepare every image, at most `limit` usable ones of each part, into the temporary file."""
        names = {part: images.names() for part, images in self.parts.items()}
        self._check(names)
        limit = self.dataset.limit
        total = sum(len(listed) if limit is None else min(len(listed), limit) for listed in names.values())
        with Progress("prepare", total, "images") as progress:
            for part, listed in names.items():
                with closing(self._outcomes(part, listed)) as outcomes:
                    usable = (outcome for outcome in outcomes if self._usable(outcome))
                    for outcome in islice(usable, limit):
                        self._keep(outcome, spool)
                        progress.advance()

    def _check(self, names: dict[str, list[str]]) -> None:
        for part, listed in names.items():
            if not listed:
                kind = "" if part == "all" else f" for {part}"
                raise InputError(f"{self.where}.source: holds no images{kind}")
        check_list([name for part in names.values() for name in part], self.dataset.split, self.where)

    def _outcomes(self, part: str, names: list[str]) -> Generator[Outcome, None, None]:
        starts = range(0, len(names), CHUNK)
        chunks = ([(part, name) for name in names[start : start + CHUNK]] for start in starts)
        make = partial(ImagePreparer, self.dataset, self.where)
        with closing(ordered_map(make, chunks, self.workers)) as results:
            for outcomes in results:
                yield from outcomes

    def _usable(self, outcome: Outcome) -> bool:
        if outcome.reason is None:
            return True
        line = f"{printable(outcome.name)}: {outcome.reason}"
        if self.dataset.on_bad_image == "error":
            raise InputError(f"{self.where}.source: {line}; on_bad_image: skip would leave it out")
        logger.warning("skipped %s", line)
        self.skipped.append(outcome)
        return False

    def _keep(self, outcome: Outcome, spool: IO[bytes]) -> None:
        self.kept.append(replace(outcome, png=b"", start=spool.tell(), size=len(outcome.png)))
        spool.write(outcome.png)

    def split(self) -> dict[str, list[Outcome]]:
        """The usable images of each split, in order."""
        names, parts = [image.name for image in self.kept], [image.part for image in self.kept]
        chosen = set(validation_indices(names, parts, self.dataset.split, self.where))
        splits: dict[str, list[Outcome]] = {"train": [], "validation": []}
        for index, image in enumerate(self.kept):
            splits["validation" if index in chosen else "train"].append(image)
        if tuning := self.dataset.split.tuning:
            if tuning >= len(splits["train"]):
                raise InputError(f"{self.where}.split.tuning: below the {len(splits['train'])} training images")
            splits = {"train": splits["train"][:-tuning], "validation": splits["train"][-tuning:]}
        self.twice = _in_both(**splits)
        if self.twice and self.dataset.split.duplicates != "keep":
            self._leave_out(splits)
        return splits

    def _leave_out(self, splits: dict[str, list[Outcome]]) -> None:
        """Take training images out of the validation images: what a model saw says nothing of what it did not see."""
        one, other = (printable(image.name) for image in self.twice[0])
        told = f"{len(self.twice)} validation images have the pixels of training images, such as {one} those of {other}"
        if self.dataset.split.duplicates == "refuse":
            raise InputError(f"{self.where}.split: {told}; duplicates: keep_in_train would leave them out")
        left_out = {id(image) for image, _ in self.twice}
        splits["validation"] = [image for image in splits["validation"] if id(image) not in left_out]
        if not splits["validation"]:
            raise InputError(f"{self.where}.split: all {told}; no validation image is left")
        logger.warning("left out of the validation images: %s", told)

    def manifest(self, splits: dict[str, list[Outcome]]) -> dict[str, Any]:
        """What was made of what, and how."""
        dataset = self.dataset
        license_ = dataset.license
        if isinstance(dataset.source, EmbeddedSource) and license_ == "unknown":
            license_ = EMBEDDED_COLLECTIONS[dataset.source.name].license
        facts: dict[str, Any] = {
            name: {"count": len(images), "sha256": joined_digest(image.digest for image in images)}
            for name, images in splits.items()
        }
        facts |= dataset.model_dump(mode="json", exclude={"name"}) | {"license": license_, "pillow": PIL.__version__}
        facts["skipped"] = [{"name": printable(image.name), "reason": image.reason} for image in self.skipped]
        facts["duplicates"] = [
            {"validation": printable(image.name), "train": printable(same.name)} for image, same in self.twice
        ]
        facts["ignored_files"] = sum(images.ignored for images in self.parts.values())
        if len(self.kept) < FEW:
            facts["names"] = {split: [printable(image.name) for image in splits[split]] for split in splits}
        return facts


def _in_both(train: list[Outcome], validation: list[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """Validation images and the first training image with the same pixels, of those that have one."""
    seen: dict[bytes, Outcome] = {}
    for image in train:
        seen.setdefault(image.digest, image)
    return [(image, seen[image.digest]) for image in validation if image.digest in seen]


def prepare(
    dataset: Dataset, train: Path, validation: Path, workers: int = 1, where: str = "dataset"
) -> dict[str, Any]:
    """Write both archives of a dataset and return its manifest.

    workers: processes that decode; `where` is the dataset's key in the config, for errors.
    """
    preparation = Preparation(dataset, workers, where)
    train.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=train.parent) as spool:  # has no name: a killed stage leaves nothing
        preparation.read(spool)
        splits = preparation.split()
        with ArchiveWriter(train, dataset.channels) as first, ArchiveWriter(validation, dataset.channels) as second:
            for archive, images in ((first, splits["train"]), (second, splits["validation"])):
                for index, image in enumerate(images):
                    spool.seek(image.start)
                    archive.add_encoded(image_name(index), spool.read(image.size))
    counts = map(len, (splits["train"], splits["validation"], preparation.skipped))
    logger.info("prepared %d images for training and %d for validation, skipped %d", *counts)
    return preparation.manifest(splits)


def validation_indices(names: list[str], parts: list[str], split: Split, where: str) -> list[int]:
    """Positions of the validation images among the usable images, in order.

    names, parts: of the usable images, in the order of their sorted names. That order and this
    selection are over usable images only, so that a damaged file shortens the training split and
    not the validation split.
    """
    chosen = _chosen(names, parts, split, where)
    if not names:
        raise InputError(f"{where}.source: none of its images can be used; the log names each and why")
    if len(chosen) >= len(names):
        raise InputError(
            f"{where}.split: {len(chosen)} validation images of {len(names)} usable ones leave none to train"
        )
    if not chosen:
        raise InputError(f"{where}.split: no validation image is left; each split needs at least one usable image")
    return chosen


def _chosen(names: list[str], parts: list[str], split: Split, where: str) -> list[int]:
    count = len(names)
    match split.rule:
        case "last":
            return list(range(max(0, count - split.validation), count))
        case "hash":
            # A number that a name has wherever it lies: neighbours among the names are no neighbours here.
            hashes = [hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names]
            return sorted(sorted(range(count), key=hashes.__getitem__)[: split.validation])
        case "list":
            listed = listed_names(split.list, where)
            return [index for index, name in enumerate(names) if name in listed]
        case "source":
            return [index for index, part in enumerate(parts) if part == "validation"]


def listed_names(path: Path | None, where: str) -> set[str]:
    """The names in a text file, one a line."""
    try:
        text = Path(path or "").read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError as error:
        raise InputError(f"{where}.split.list: {path}: not a readable text file ({error.strerror})") from None
    return {line for line in text.replace("\r\n", "\n").split("\n") if line.strip()}


def check_list(names: list[str], split: Split, where: str) -> None:
    """InputError if a listed name is not in the collection."""
    if split.rule != "list":
        return
    absent = sorted(listed_names(split.list, where) - set(names))
    if absent:
        raise InputError(
            f"{where}.split.list: {split.list}: {len(absent)} of its names are not in the collection, such as"
            f" {absent[0]!r}; names are like {names[0]!r}"
        )
