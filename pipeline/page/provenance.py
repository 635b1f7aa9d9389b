"""Where the page's numbers come from: prepared datasets, versions of libraries, files of networks."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.models.metric_networks.manifest import manifest


@dataclass(frozen=True)
class DatasetFacts:
    """A prepared dataset, as its manifest tells."""

    name: str
    licence: str
    source: str
    resolution: int
    channels: int
    train: int
    validation: int
    sha256: dict[str, str]


@dataclass
class Provenance:
    """What the summaries say they were made with; several values where they differ."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)


def read_dataset(name: str, path: Path) -> DatasetFacts:
    """The facts of a manifest that `prepare_dataset` wrote."""
    told = _read(path)
    source = told["source"]
    return DatasetFacts(
        name,
        told.get("license") or "not stated",
        ", ".join(f"{key} {value}" for key, value in source.items() if value is not None),
        told["resolution"],
        told["channels"],
        told["train"]["count"],
        told["validation"]["count"],
        {split: told[split]["sha256"] for split in ("train", "validation")},
    )


def gather_provenance(summaries: list[Path]) -> Provenance:
    """Versions and networks of all summaries together."""
    found = Provenance()
    for protocol in (_read(path).get("protocol", {}) for path in summaries):
        for library, version in protocol.get("versions", {}).items():
            known = found.versions.setdefault(library, [])
            if version not in known:
                known.append(version)
        for key, value in protocol.items():
            if key == "network_sha256":
                found.networks[protocol["network"]] = value
            elif (name := key.removesuffix("_sha256")) in manifest():
                found.networks[name] = value
    return found


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
