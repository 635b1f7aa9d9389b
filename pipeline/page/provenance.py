"""Where the page's numbers come from: prepared datasets, versions of libraries, files of networks."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.parsing import read_json
from pipeline.models.metric_networks.manifest import is_unchecked, manifest


@dataclass
class Provenance:
    """What the summaries say they were made with; several values where they differ."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    networks: dict[str, str] = field(default_factory=dict)


def read_dataset(name: str, path: Path) -> dict[str, Any]:
    """What the page tells of a prepared dataset, from the manifest that `prepare_dataset` wrote."""
    told = read_json(path, f"manifest {path}")
    return {
        "name": name,
        "licence": told.get("license") or "not stated",
        "source": ", ".join(f"{key} {value}" for key, value in told["source"].items() if value is not None),
        "resolution": told["resolution"],
        "channels": told["channels"],
        "train": told["train"]["count"],
        "validation": told["validation"]["count"],
        "sha256": {split: told[split]["sha256"] for split in ("train", "validation")},
    }


def gather_provenance(summaries: list[Path]) -> Provenance:
    """Versions and networks of all summaries together."""
    found = Provenance()
    for protocol in (read_json(path, f"summary {path}").get("protocol", {}) for path in summaries):
        for library, version in protocol.get("versions", {}).items():
            known = found.versions.setdefault(library, [])
            if version not in known:
                known.append(version)
        for key, value in protocol.items():
            if key == "network_sha256":
                found.networks[protocol["network"]] = _told(protocol["network"], value)
            elif (name := key.removesuffix("_sha256")) in manifest():
                found.networks[name] = _told(name, value)
    return found


def _told(network: str, sha256: str) -> str:
    return f"{sha256} (hash not checked)" if is_unchecked(network) else sha256
