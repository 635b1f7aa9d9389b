"""How many images a dataset has, also before it is prepared, and even without its raw images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.data.kept_fingerprints import split_counts
from pipeline.settings.dataset import Dataset

UNKNOWN = 10_000  # images for training, where nothing tells


@dataclass(frozen=True)
class ImageCounts:
    """Images of both splits, and how they are known."""

    train: int
    validation: int
    known_from: str


def image_counts(name: str, dataset: Dataset, fingerprint: dict[str, Any], manifest: Path) -> ImageCounts:
    """From the manifest, else from the fingerprint, else from the config's `expected`, else an assumption."""
    if manifest.exists():
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        return ImageCounts(facts["train"]["count"], facts["validation"]["count"], "prepared")
    if found := split_counts(fingerprint, dataset):
        return ImageCounts(found["train"], found["validation"], "raw images")
    if dataset.expected is not None:
        return ImageCounts(dataset.expected.train, dataset.expected.validation, f"datasets.{name}.expected")
    validation = dataset.split.validation or UNKNOWN // 10
    return ImageCounts(UNKNOWN, validation, f"assumed, since nothing tells; datasets.{name}.expected would")
