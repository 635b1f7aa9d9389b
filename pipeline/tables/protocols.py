"""A metric carries its protocol: two numbers may share a column only if they were measured alike."""

import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from pipeline.base.errors import InputError
from pipeline.models.metric_networks.manifest import is_unchecked

# A seed draws other images by the same rule, and a library's version is recorded, not compared.
NOT_COMPARED = frozenset({"seed", "versions"})
INTERVAL = "_interval"  # ends the keys that say how a metric's interval was made


class Held(NamedTuple):
    """Whose protocol it is, on which dataset."""

    row: str
    dataset: str
    protocol: dict[str, Any]


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


def differing(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What differs between two protocols, such as `count 1000 and 500`; empty where they are one."""
    first, second = flat(one), flat(other)
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    return "; ".join(f"{key} {first.get(key)!r} and {second.get(key)!r}" for key in keys)


def one_protocol(column: str, held: Iterable[Held]) -> dict[str, dict[str, Any]]:
    """The protocol of a column for each dataset; InputError names what differs, in which rows."""
    seen: dict[str, Held] = {}
    for row, dataset, protocol in held:
        first = seen.setdefault(dataset, Held(row, dataset, protocol))
        if told := differing(first.protocol, protocol):
            raise InputError(
                f"column {column}, dataset {dataset}: rows {first.row!r} and {row!r} have two"
                f" protocols: {told}; evaluate both alike or put them in two tables"
            )
    return {dataset: flat(first.protocol) for dataset, first in seen.items()}


def told(protocol: dict[str, Any]) -> str:
    """A protocol in words for a footnote; hashes shortened to twelve digits (the csv has them whole).

    How intervals were made is a footnote of its own.
    """
    parts = {key: value for key, value in protocol.items() if not key.endswith(INTERVAL)}
    for key, value in parts.items():
        if not isinstance(value, float | int | str):
            parts[key] = json.dumps(value, sort_keys=True)
        elif key.endswith("sha256"):
            name = protocol.get("network", "") if key == "network_sha256" else key.removesuffix("_sha256")
            parts[key] = f"{str(value)[:12]}{' (hash not checked)' if is_unchecked(str(name)) else ''}"
    return ", ".join(f"{key} {value}" for key, value in parts.items())
