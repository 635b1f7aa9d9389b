"""The format in which stages write measured values: `summary.json`, `complexity.json`, `decoding.json`.

    {"kind": "reconstruction",
     "traits": {"method": "BRIGHT", "code_size": "8x8x4", ...},
     "values": {"psnr": {"number": 24.1, "std": 2.1, "interval": [low, high], "protocol": {"count": 1000, ...}}, ...},
     "details": {...}}

A file about several models has one summary for each, by name, under `models`. Tables, figures and the page read values
by the names that `settings/quantities.py` lists: `psnr`, `inception.frechet_distance` (a metric in a feature space),
`rfid.inception.frechet_distance` (the same metric of reconstructions), `hash_tables.ngp` (a count).
"""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import explain, read_json
from bright_pipeline.engine.atomic import write_json


class Value(BaseModel, frozen=True, allow_inf_nan=False):
    """A measured number with its uncertainty and its protocol."""

    number: int | float
    std: float | None = None  # standard deviation over images, or over the splits or subsets of a metric
    interval: tuple[float, float] | None = None  # its ends; the protocol says how it was computed
    protocol: dict[str, Any] = {}  # how the number was measured; empty for a count


class Summary(BaseModel, frozen=True, allow_inf_nan=False):
    """The values that a stage measured for one model or image set."""

    kind: str  # such as `reconstruction` or `generation`: the same kind has the same names of values
    traits: dict[str, Any] = {}  # distinguish rows of a table, such as method and code size; no name from a config
    values: dict[str, Value]
    details: dict[str, Any] = {}  # further results, such as curves, that figures read

    @property
    def numbers(self) -> dict[str, float]:
        """The values without their uncertainty and protocol; a standard deviation as `NAME_std` (`score_std`)."""
        named = [(name.removesuffix("_mean"), value.std) for name, value in self.values.items()]
        spreads = {f"{name}_std": std for name, std in named if std is not None}
        return {name: value.number for name, value in self.values.items()} | spreads

    @property
    def protocol(self) -> dict[str, Any]:
        """The protocols of all values in one."""
        merged: dict[str, Any] = {}
        for value in self.values.values():
            for key, entry in value.protocol.items():
                merged[key] = {**merged.get(key, {}), **entry} if isinstance(entry, dict) else entry
        return merged


def versions(*libraries: str) -> dict[str, str]:
    return {library: version(library) for library in libraries}


def write_summary(path: Path | str, summary: Summary) -> None:
    """Write a summary; absent fields are left out."""
    write_json(path, summary.model_dump(mode="json", exclude_defaults=True))


def write_summaries(path: Path | str, models: dict[str, Summary]) -> None:
    dumped = {name: summary.model_dump(mode="json", exclude_defaults=True) for name, summary in models.items()}
    write_json(path, {"models": dumped})


def read_summary(path: Path, model: str = "") -> Summary:
    """The summary in a file; `model` picks one from a file of several. InputError names the file and the key."""
    content = read_json(path, f"summary {path}")
    if isinstance(content, dict) and isinstance(models := content.get("models"), dict):
        if model not in models:
            raise InputError(f"summary {path}: {model!r} is none of the models measured ({', '.join(models)})")
        content = models[model]
    try:
        return Summary.model_validate(content)
    except ValidationError as error:
        raise InputError(f"summary {path}: {explain(error.errors()[0])}") from None
