"""Converts a raw collection to two archives of square PNGs, for training and for validation (section 4).

Images are ordered by name. One parallel pass decodes them into a temporary file; the split is then made over the usable
images, and the archives are written. The bytes of the archives depend neither on the number of processes nor on time.
"""

import hashlib
import multiprocessing
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import IO, Any

import PIL

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress, logger
from bright_pipeline.data.archive import ArchiveWriter, encode_png, image_name, joined_digest, pixel_digest
from bright_pipeline.data.decode import BadImage, square_pixels
from bright_pipeline.data.listing import HEIC_SUFFIXES, LICENSES, missing_list, printable
from bright_pipeline.data.sources import RawImages, open_source
from bright_pipeline.settings.dataset import Dataset, EmbeddedSource, Split

CHUNK = 16  # images per task of a worker process: a terminated stage finishes the running tasks
MAX_LISTED_NAMES = 10_000  # below this number of images, the manifest lists the original names
MOST_TYPES = 5  # of ignored files that the manifest names
TASKS_AHEAD = 3  # tasks per worker that are submitted ahead of the awaited result

Chunk = list[tuple[str, str]]  # part and name of each image

_function: Callable[[Any], Any]  # of a worker process


def ordered_map(function: Callable[[Any], Any], tasks: Iterable[Any], workers: int) -> Generator[Any, None, None]:
    """function(task) for every task, in order, with any number of processes, to each of which it is sent once.

    Unlike `Pool.imap`, the map never runs far ahead of its reader, so that results do not fill the memory. Processes
    are spawned, not forked: they inherit no threads and no open files.
    """
    if workers == 1:
        yield from map(function, tasks)
        return
    remaining = iter(tasks)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (function,))
    try:
        first = islice(remaining, workers * (1 + TASKS_AHEAD))
        waiting: deque[Future[Any]] = deque(pool.submit(_call, task) for task in first)
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_call, task) for task in islice(remaining, 1))
    except BrokenProcessPool:
        line = "a worker process was killed, probably because memory ran out; use fewer workers"
        raise InputError(f"--workers: {line}") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(function: Callable[[Any], Any]) -> None:
    global _function
    _function = function


def _call(task: Any) -> Any:
    return _function(task)


@dataclass(frozen=True)
class Prepared:
    """One raw image after preparation: its PNG and the digest of its pixels, or the reason why it is unusable."""

    part: str
    name: str
    png: bytes = b""
    digest: bytes = b""
    reason: str | None = None
    start: int = 0  # offset of the PNG in the temporary file, to which it moves
    size: int = 0


def _prepared(dataset: Dataset, parts: dict[str, RawImages], chunk: Chunk) -> list[Prepared]:
    """Decode, crop, resize and encode a chunk of images."""
    images = []
    for part, name in chunk:
        try:
            pixels = square_pixels(parts[part].image(name, dataset.channels), dataset)
            images.append(Prepared(part, name, encode_png(pixels), pixel_digest(pixels)))
        except BadImage as error:
            images.append(Prepared(part, name, reason=printable(str(error))))
    return images


def prepare(
    dataset: Dataset,
    train: Path,
    validation: Path,
    workers: int = 1,
    where: str = "dataset",
    check_read: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Write the two archives of a dataset and return its manifest.

    workers: number of decoding processes. where: the dataset's key in the config, for errors. check_read: called when
    everything has been read, before a file is put in place.
    """
    parts = open_source(dataset.source, f"{where}.source")
    train.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=train.parent) as spool:  # unnamed: a killed stage leaves no file
        kept, skipped = _read(dataset, parts, spool, workers, where)
        splits, duplicates = _split(kept, dataset.split, where)
        check_read()
        with ArchiveWriter(train, dataset.channels) as first, ArchiveWriter(validation, dataset.channels) as second:
            for archive, images in ((first, splits["train"]), (second, splits["validation"])):
                for index, image in enumerate(images):
                    spool.seek(image.start)
                    archive.add_encoded(image_name(index), spool.read(image.size))
    license_ = dataset.license
    if isinstance(dataset.source, EmbeddedSource) and license_ == "unknown":
        license_ = LICENSES[dataset.source.name]
    manifest: dict[str, Any] = {
        name: {"count": len(images), "sha256": joined_digest(image.digest for image in images)}
        for name, images in splits.items()
    }
    manifest |= dataset.model_dump(mode="json", include=set(Dataset.model_fields))
    manifest |= {"license": license_, "pillow": PIL.__version__}
    manifest["skipped"] = [{"name": printable(image.name), "reason": image.reason} for image in skipped]
    manifest["duplicates"] = [
        {"validation": printable(image.name), "train": printable(same.name)} for image, same in duplicates
    ]
    ignored = sum((images.ignored for images in parts.values() if images.ignored), Counter[str]())
    manifest |= {"ignored_files": ignored.total(), "ignored_types": dict(ignored.most_common(MOST_TYPES))}
    if len(kept) < MAX_LISTED_NAMES:
        manifest["names"] = {split: [printable(image.name) for image in splits[split]] for split in splits}
    logger.info("%s", outcome(manifest))
    return manifest


def outcome(manifest: dict[str, Any]) -> str:
    """What happened to the files of a collection, in one line; counts of 0 are left out."""
    train, validation, skipped = manifest["train"]["count"], manifest["validation"]["count"], len(manifest["skipped"])
    same, others = len(manifest["duplicates"]), manifest["ignored_files"]
    done = "kept" if manifest["split"].get("duplicates", "keep") == "keep" else "removed"
    left_out = [f"{skipped} skipped"] * bool(skipped)
    left_out += [f"{same} duplicate{'s' * (same != 1)} {done}"] * bool(same)
    if others:
        types = manifest.get("ignored_types", {})
        named = ", ".join(f"{count} {suffix}" for suffix, count in types.items() if suffix)
        named += "" if types.keys().isdisjoint(HEIC_SUFFIXES) else "; to read HEIC: pip install pillow-heif"
        left_out.append(f"{others} other file{'s' * (others != 1)} ignored" + (f" ({named})" if named else ""))
    numbers = f"prepared {train:,} image{'s' * (train != 1)} for training and {validation:,} for validation"
    return f"{numbers}; {', '.join(left_out)}" if left_out else numbers


def _read(
    dataset: Dataset, parts: dict[str, RawImages], spool: IO[bytes], workers: int, where: str
) -> tuple[list[Prepared], list[Prepared]]:
    """Prepare all images, at most `limit` usable ones per part, into the temporary file: usable and skipped ones."""
    names, limit = {part: images.names() for part, images in parts.items()}, dataset.limit
    for part, listed in names.items():
        if not listed:
            raise InputError(f"{where}.source: contains no images" + ("" if part == "all" else f" for {part}"))
    everything = [name for listed in names.values() for name in listed]
    if dataset.split.rule == "list" and (absent := sorted(listed_names(dataset.split.list, where) - set(everything))):
        line = f"{len(absent)} of its names are not in the collection, such as {absent[0]!r}"
        names_like = f"names look like {everything[0]!r}"
        raise InputError(f"{where}.split.list: {dataset.split.list}: {line}; {names_like}")
    kept, skipped = list[Prepared](), list[Prepared]()
    function = partial(_prepared, dataset, parts)  # every process opens the files of `parts` for itself
    total = sum(len(listed) if limit is None else min(len(listed), limit) for listed in names.values())
    with Progress("prepare", total, "images") as progress:
        for part, listed in names.items():
            starts = range(0, len(listed), CHUNK)
            chunks = ([(part, name) for name in listed[start : start + CHUNK]] for start in starts)
            first = len(kept)
            with closing(ordered_map(function, chunks, workers)) as results:
                for image in (image for chunk in results for image in chunk):
                    if image.reason is None:
                        kept.append(replace(image, png=b"", start=spool.tell(), size=len(image.png)))
                        spool.write(image.png)
                        progress.advance()
                        if len(kept) - first == limit:
                            break
                        continue
                    line = f"{printable(image.name)}: {image.reason}"
                    if dataset.on_bad_image == "error":
                        raise InputError(f"{where}.source: {line}; on_bad_image: skip would leave it out")
                    logger.warning("skipped %s", line)
                    skipped.append(image)
    return kept, skipped


def _split(
    kept: list[Prepared], split: Split, where: str
) -> tuple[dict[str, list[Prepared]], list[tuple[Prepared, Prepared]]]:
    """The usable images of each split, and the pairs of equal validation and training images."""
    chosen = set(validation_indices([image.name for image in kept], [image.part for image in kept], split, where))
    train = [image for index, image in enumerate(kept) if index not in chosen]
    validation = [image for index, image in enumerate(kept) if index in chosen]
    if split.tuning:
        if split.tuning >= len(train):
            raise InputError(f"{where}.split.tuning: must be below the number of training images, {len(train)}")
        train, validation = train[: -split.tuning], train[-split.tuning :]
    train = train[: split.train]
    seen = {image.digest: image for image in reversed(train)}  # the first of equal images
    duplicates = [(image, seen[image.digest]) for image in validation if image.digest in seen]
    if duplicates and split.duplicates != "keep":  # results on them would be too good
        copy, original = (printable(image.name) for image in duplicates[0])
        pixels = f"have the pixels of training images, such as {copy} those of {original}"
        line = f"{len(duplicates)} validation images {pixels}"
        if split.duplicates == "refuse":
            raise InputError(f"{where}.split: {line}; duplicates: keep_in_train would leave them out")
        validation = [image for image in validation if image.digest not in seen]
        if not validation:
            raise InputError(f"{where}.split: all {line}; no validation image remains")
        logger.warning("left out of the validation images: %s", line)
    return {"train": train, "validation": validation}, duplicates


def validation_indices(names: list[str], parts: list[str], split: Split, where: str) -> list[int]:
    """Positions of the validation images among the usable images, in order.

    names, parts: of the usable images, in the order of their names. Since only usable images are counted, a damaged
    file shortens the training split, not the validation split.
    """
    count = len(names)
    match split.rule:
        case "last":
            chosen = list(range(max(0, count - split.validation), count))
        case "hash":  # depends on the name alone, and is independent of the order of names
            hashes = [hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest() for name in names]
            chosen = sorted(sorted(range(count), key=hashes.__getitem__)[: split.validation])
        case "list":
            listed = listed_names(split.list, where)
            chosen = [index for index, name in enumerate(names) if name in listed]
        case "source":
            chosen = [index for index, part in enumerate(parts) if part == "validation"]
    if not names:
        raise InputError(f"{where}.source: none of its images is usable; the log gives the reason for each")
    if len(chosen) >= count:
        raise InputError(f"{where}.split: {len(chosen)} validation images of {count} usable ones leave none to train")
    if not chosen:
        raise InputError(f"{where}.split: no validation image remains; each split needs at least one usable image")
    return chosen


def listed_names(path: Path | None, where: str) -> set[str]:
    """The names in a text file, one per line."""
    assert path is not None
    if (line := missing_list(path, f"{where}.source")) is not None:
        raise InputError(line)
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    return {line for line in text.replace("\r\n", "\n").split("\n") if line.strip()}
