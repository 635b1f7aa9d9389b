"""Feature files: npz without pickle, with the facts about images and network that a protocol needs.

The features of a set are in one or several files, each with a range of its images.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import joined_digest
from bright_pipeline.data.arrays import arrays
from bright_pipeline.engine.atomic import atomic_path

Features = NDArray[np.float32]

_arrays = partial(arrays, where="features", made_by="`bright_pipeline.extract_features`")


@dataclass(frozen=True)
class FeatureSet:
    """One image set, or a range of it, in one feature space."""

    features: Features  # (N, D), for distances, precision and recall
    logits: Features | None  # (N, classes), for the score; None if the network is no classifier
    image_digests: NDArray[np.uint8]  # (N, 32), the sha256 of each image's pixels
    facts: dict[str, Any]  # space, network, network_sha256, resize

    def __len__(self) -> int:
        return len(self.features)

    @property
    def images_sha256(self) -> str:
        """The content digest of these images, as `sha256` in the manifest of a prepared dataset."""
        return joined_digest(digest.tobytes() for digest in self.image_digests)

    def first(self, count: int | None) -> "FeatureSet":
        """The features of the first `count` images; all for None."""
        if count is None or count == len(self):
            return self
        if count > len(self):
            raise InputError(f"settings: count: at most {len(self)}, the images in the file, not {count}")
        logits = None if self.logits is None else self.logits[:count]
        return FeatureSet(self.features[:count], logits, self.image_digests[:count], self.facts)


def write_features(path: Path, images: FeatureSet, first: int = 0) -> None:
    """Write the features of the images from `first` on, uncompressed and atomically; the facts are JSON."""
    contents: dict[str, NDArray[Any]] = {"features": images.features, "image_digests": images.image_digests}
    if images.logits is not None:
        contents["logits"] = images.logits
    facts = json.dumps(images.facts | {"first": first}, sort_keys=True)
    contents["facts"] = np.frombuffer(facts.encode(), dtype=np.uint8)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **contents)


def read_features(paths: list[Path]) -> FeatureSet:
    """The feature set in these files, which must be consecutive ranges of one set; InputError otherwise."""
    if not paths:
        raise InputError("features: no file is given; give at least one from `bright_pipeline.extract_features`")
    parts: list[tuple[Path, NDArray[np.uint8]]] = []
    facts: dict[str, Any] = {}
    for path in paths:
        count = sum(len(digests) for _, digests in parts)
        with _arrays(path) as content:
            file_facts = json.loads(content["facts"].tobytes())
            first, names = file_facts.pop("first"), content.files
            parts.append((path, content["image_digests"]))
        if first != count:
            raise InputError(f"features {path}: starts at image {first}, should start at {count}; give all, in order")
        if file_facts != (facts := facts or file_facts):
            raise InputError(f"features {path}: its facts differ from those of {paths[0]}; extract both alike")
    parts = [part for part in parts if len(part[1])] or parts[:1]  # where images were skipped, the last range is empty
    digests = np.concatenate([part[1] for part in parts])
    files = [path for path, _ in parts]
    logits = _joined(files, "logits", len(digests)) if "logits" in names else None
    return FeatureSet(_joined(files, "features", len(digests)), logits, digests, facts)


def _joined(paths: list[Path], name: str, count: int) -> Features:
    """An array's `count` rows in all files, each read into its rows: no row is in memory twice."""
    filled = 0
    for path in paths:
        with _arrays(path) as content:
            rows = content[name]
        if filled == 0:
            whole = np.empty((count, *rows.shape[1:]), rows.dtype)
        whole[filled : filled + len(rows)] = rows
        filled += len(rows)
    return whole
