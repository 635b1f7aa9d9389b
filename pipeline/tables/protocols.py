"""A metric carries its protocol: two numbers may share a column only if they were measured alike."""

import json
from typing import Any

from pipeline.errors import InputError
from pipeline.tables.measured import Measurement

# A seed draws other images by the same rule, and a library's version is recorded, not compared.
NOT_COMPARED = frozenset({"seed", "versions"})


def flat(protocol: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested keys joined by points, without those that are not compared."""
    entries: dict[str, Any] = {}
    for key, value in sorted(protocol.items()):
        if key in NOT_COMPARED:
            continue
        if isinstance(value, dict):
            entries |= flat(value, f"{prefix}{key}.")
        else:
            entries[f"{prefix}{key}"] = value
    return entries


def one_protocol(column: str, key: str, measurements: list[Measurement]) -> dict[str, dict[str, Any]]:
    """The protocol behind value `key` for each dataset; InputError names what differs, in which rows."""
    seen: dict[str, tuple[str, dict[str, Any]]] = {}
    for measurement in measurements:
        if key not in measurement.values:
            continue
        protocol = flat(measurement.values[key].protocol)
        dataset = measurement.traits["dataset"]
        first, agreed = seen.setdefault(dataset, (measurement.name, protocol))
        differing = [k for k in sorted({*agreed, *protocol}) if agreed.get(k) != protocol.get(k)]
        if differing:
            told = "; ".join(f"{k} {agreed.get(k)!r} and {protocol.get(k)!r}" for k in differing)
            raise InputError(
                f"column {column}, dataset {dataset}: rows {first!r} and {measurement.name!r} have two"
                f" protocols: {told}; evaluate both alike or put them in two tables"
            )
    return {dataset: protocol for dataset, (_, protocol) in seen.items()}


def told(protocol: dict[str, Any]) -> str:
    """A protocol in words for a footnote; hashes shortened to twelve digits (the csv has them whole)."""
    parts = []
    for key, value in protocol.items():
        if isinstance(value, float | int | str):
            text = value[:12] if key.endswith("sha256") and isinstance(value, str) else str(value)
        else:
            text = json.dumps(value, sort_keys=True)
        parts.append(f"{key} {text}")
    return ", ".join(parts)
