"""Feature files: npz without pickle, with the facts about images and network that a protocol needs."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.atomic import atomic_path
from pipeline.errors import InputError

Features = NDArray[np.float32]


@dataclass(frozen=True)
class FeatureSet:
    """What one network says about one image set.

    features: (N, D), for distances and precision and recall; logits: (N, classes), for the score, of
    classifiers alone; facts: count, images_sha256, network, network_sha256, resize.
    """

    features: Features
    logits: Features | None
    facts: dict[str, Any]

    def first(self, count: int | None) -> "FeatureSet":
        """The features of the first `count` images; all for None."""
        if count is None or count == len(self.features):
            return self
        if count > len(self.features):
            raise InputError(f"settings: count: at most {len(self.features)}, the images in the file, not {count}")
        logits = None if self.logits is None else self.logits[:count]
        facts = {key: value for key, value in self.facts.items() if key != "images_sha256"}  # it is of all
        return FeatureSet(self.features[:count], logits, facts | {"count": count})


def write_features(path: Path, found: FeatureSet) -> None:
    """Write a feature set, uncompressed and atomically; the facts are JSON, as UTF-8 bytes."""
    arrays: dict[str, NDArray[Any]] = {"features": found.features}
    if found.logits is not None:
        arrays["logits"] = found.logits
    arrays["facts"] = np.frombuffer(json.dumps(found.facts, sort_keys=True).encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def read_features(path: Path) -> FeatureSet:
    """Read a feature set; anything else is an input error."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            facts = json.loads(arrays["facts"].tobytes())
            return FeatureSet(arrays["features"], arrays.get("logits"), facts)
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"features {path}: not a file of `pipeline.extract_features` ({error})") from None
