"""Fingerprints of raw collections, taken once and kept in small files that git can hold.

A colleague without the raw images has the same digests as long as the fingerprint's file is there.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.base.atomic import write_json
from pipeline.base.errors import InputError
from pipeline.base.progress import logger
from pipeline.config.dataset import Dataset, Source
from pipeline.data.fingerprint import fingerprint, listing_digest
from pipeline.data.sources import open_source

FINGERPRINTS = Path("results/fingerprints")


def source_fingerprint(name: str, source: Source, where: str) -> dict[str, Any]:
    """A collection's fingerprint: the kept one, else taken now; without images, that they are absent.

    With it goes `images`: how many each part of the collection has, which no digest is made from. `where` is
    the config's key of the source, for errors.
    """
    kept = _place(name, source)
    try:
        listing = listing_digest(source, where)
    except InputError:
        # No raw images here: the kept fingerprint stands for them; without one, only a dry run can go on.
        return _read(kept) if kept.exists() else {"absent": source.model_dump(mode="json")}
    if kept.exists():
        known = _read(kept)
        if known["listing_sha256"] == listing and "images" in known:
            return known
        if known["listing_sha256"] == listing:
            return _keep(kept, known | {"images": _image_counts(source, where)})
        logger.warning("%s: names or sizes of the raw images changed; taking their fingerprint again", where)
    taken = fingerprint(source, where).model_dump(mode="json")
    return _keep(kept, taken | {"images": _image_counts(source, where)})


def split_counts(facts: dict[str, Any], dataset: Dataset) -> dict[str, int]:
    """At most how many images each split has (fewer where images are skipped); nothing where it is not known."""
    counts = {part: min(count, dataset.limit or count) for part, count in facts.get("images", {}).items()}
    if "all" not in counts:
        return counts
    total, split = counts["all"], dataset.split
    if split.rule != "list":
        return {"train": max(0, total - split.validation), "validation": min(split.validation, total)}
    return {"train": total, "validation": total}  # the list is read when the dataset is prepared


def missing_source(source: Source, where: str) -> str | None:
    """One line saying that the raw images are not there; None where they are."""
    try:
        listing_digest(source, where)
    except InputError as error:
        return str(error)
    return None


def _place(name: str, source: Source) -> Path:
    """By name and source, so that two collections of one name don't share a fingerprint."""
    text = json.dumps(source.model_dump(mode="json"), sort_keys=True)
    return FINGERPRINTS / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}.json"


def _image_counts(source: Source, where: str) -> dict[str, int]:
    """Images by part of the collection, counted by name; none of one that preparing will refuse."""
    try:
        parts = open_source(source, where)
        return {part: len(images.names()) for part, images in parts.items()}
    except InputError:
        return {}


def _keep(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    write_json(path, facts)
    return facts


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
