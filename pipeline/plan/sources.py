"""Fingerprints of raw collections, taken once and kept in small files that git can hold.

A colleague without the raw images has the same digests as long as the fingerprint's file is there.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pipeline.atomic import write_json
from pipeline.config.dataset import Dataset
from pipeline.data.fingerprint import fingerprint, listing_digest
from pipeline.data.sources import open_source
from pipeline.errors import InputError
from pipeline.progress import logger

FINGERPRINTS = Path("results/fingerprints")


def dataset_fingerprint(name: str, dataset: Dataset) -> dict[str, Any]:
    """The collection's fingerprint: the kept one, else taken now; without images, that they are absent.

    With it goes `images`: how many each part of the collection has, which no digest is made from.
    """
    kept = _place(name, dataset)
    try:
        listing = listing_digest(dataset.source, f"datasets.{name}.source")
    except InputError:
        # No raw images here: the kept fingerprint stands for them; without one, only a dry run can go on.
        return _read(kept) if kept.exists() else {"absent": dataset.source.model_dump(mode="json")}
    if kept.exists():
        known = _read(kept)
        if known["listing_sha256"] == listing and "images" in known:
            return known
        if known["listing_sha256"] == listing:
            return _keep(kept, known | {"images": _image_counts(name, dataset)})
        logger.warning("datasets.%s: names or sizes of the raw images changed; taking their fingerprint again", name)
    taken = fingerprint(dataset.source, f"datasets.{name}.source").model_dump(mode="json")
    return _keep(kept, taken | {"images": _image_counts(name, dataset)})


def split_counts(facts: dict[str, Any], dataset: Dataset) -> dict[str, int]:
    """At most how many images each split has (fewer where images are skipped); nothing where it is not known."""
    counts = {part: min(count, dataset.limit or count) for part, count in facts.get("images", {}).items()}
    if "all" not in counts:
        return counts
    total, split = counts["all"], dataset.split
    if split.rule != "list":
        return {"train": max(0, total - split.validation), "validation": min(split.validation, total)}
    return {"train": total, "validation": total}  # the list is read when the dataset is prepared


def missing_source(name: str, dataset: Dataset) -> str | None:
    """One line saying that the raw images are not there; None where they are."""
    try:
        listing_digest(dataset.source, f"datasets.{name}.source")
    except InputError as error:
        return str(error)
    return None


def _place(name: str, dataset: Dataset) -> Path:
    """By name and source, so that two collections of one name don't share a fingerprint."""
    source = json.dumps(dataset.source.model_dump(mode="json"), sort_keys=True)
    return FINGERPRINTS / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:8]}.json"


def _image_counts(name: str, dataset: Dataset) -> dict[str, int]:
    """Images by part of the collection, counted by name; none of one that preparing will refuse."""
    try:
        parts = open_source(dataset.source, f"datasets.{name}.source")
        return {part: len(images.names()) for part, images in parts.items()}
    except InputError:
        return {}


def _keep(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    write_json(path, facts)
    return facts


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))
