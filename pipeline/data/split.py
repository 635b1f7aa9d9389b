"""Which usable images are for validation; the rest are for training."""

import hashlib
from pathlib import Path

from pipeline.base.errors import InputError
from pipeline.settings.dataset import Split


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
