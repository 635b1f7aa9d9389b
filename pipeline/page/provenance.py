"""Where the page's numbers come from: prepared datasets, versions of libraries, files of networks."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.base.checksums import result_libraries
from pipeline.base.parsing import read_json
from pipeline.base.summary import read_summary
from pipeline.models.metric_networks.manifest import is_unchecked, manifest


@dataclass
class Provenance:
    """What results say they were made with; several values where they differ."""

    versions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    """Library -> version -> the results that it made."""
    networks: dict[str, str] = field(default_factory=dict)

    def made(self, result: str, libraries: dict[str, str]) -> None:
        """Note that a result was made with these versions."""
        for library, version in libraries.items():
            results = self.versions.setdefault(library, {}).setdefault(version, [])
            if result not in results:
                results.append(result)


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


def gather_provenance(summaries: list[Path], results: Iterable[Path]) -> Provenance:
    """Versions and networks of all summaries, and the versions that the folders of results tell, together."""
    found = Provenance()
    for folder in results:
        for libraries in result_libraries(folder):
            found.made(folder.name, libraries)
    for path in summaries:
        protocol = read_summary(path).protocol
        found.made(path.parent.name, protocol.get("versions", {}))
        for key, value in protocol.items():
            if key == "network_sha256":
                found.networks[protocol["network"]] = _told(protocol["network"], value)
            elif (name := key.removesuffix("_sha256")) in manifest():
                found.networks[name] = _told(name, value)
    return found


def _told(network: str, sha256: str) -> str:
    return f"{sha256} (hash not checked)" if is_unchecked(network) else sha256
