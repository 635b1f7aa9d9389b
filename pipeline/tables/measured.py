"""The run's own numbers: summaries (json) of the stages, gathered into one measurement per row.

A measurement's values are named by what made them: `lpips_alex` (a reconstruction metric),
`inception.frechet_distance` (a metric on a network's features), `hash_tables.ngp` (a count).
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.config.parsing import explain
from pipeline.errors import InputError
from pipeline.tables.job import TableRow

MILLION = 1e6
IMAGE_METRICS = frozenset({"lpips_alex", "lpips_vgg", "ssim", "psnr"})


class Summary(BaseModel):
    """What the summaries share; keys that no table reads are allowed."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    dataset: str
    method: str
    protocol: dict[str, Any] = {}


class Spread(BaseModel):
    """Mean and standard deviation over images."""

    mean: float
    std: float | None = None


class ReconstructionSummary(Summary):
    """Reconstruction of a validation split by one autoencoder."""

    kind: Literal["reconstruction"]
    code_size: str
    key_length: int | None = None
    feature_size: int | None = None
    code_noise: str | None = None
    adversarial: str | None = None
    train_images: int
    count: int
    metrics: dict[str, Spread]


class HashTableParams(BaseModel):
    """Parameters in the hash tables by both conventions."""

    ngp: int
    tcnn: int


class Gmacs(BaseModel):
    """Multiply-accumulates of retrieval and decoding, in units of 10^9."""

    model_config = ConfigDict(populate_by_name=True)

    paper_rule: float
    true_count: float = Field(alias="true")


class ComplexitySummary(Summary):
    """Counts of one autoencoder."""

    kind: Literal["complexity"]
    code_size: str
    key_length: int | None = None
    feature_size: int | None = None
    hash_table_params: HashTableParams | None = None
    decoder_params: int
    encoder_params: int | None = None
    gmacs: Gmacs


class GenerationSummary(Summary):
    """A sample set against a reference set in the features of one network."""

    kind: Literal["generation"]
    sample_kind: str
    network: str
    code_size: str | None = None
    metrics: dict[str, float]


AnySummary = Annotated[ReconstructionSummary | ComplexitySummary | GenerationSummary, Field(discriminator="kind")]
ADAPTER: TypeAdapter[Any] = TypeAdapter(AnySummary)


@dataclass(frozen=True)
class Value:
    """A measured number, its standard deviation if it has one, and its protocol."""

    number: float
    std: float | None = None
    protocol: dict[str, Any] = field(default_factory=dict)


@dataclass
class Measurement:
    """All that the summaries say about one row."""

    name: str
    label: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    values: dict[str, Value] = field(default_factory=dict)

    def add(self, kind: str, traits: dict[str, Any], values: dict[str, Value]) -> None:
        """Join another summary; both must speak of the same thing."""
        for key, value in traits.items():
            if value is not None and self.traits.setdefault(key, value) != value:
                raise InputError(
                    f"summaries of {self.name!r}: {key} is {self.traits[key]!r} in one and {value!r}"
                    " in another; give summaries of one run"
                )
        if twice := values.keys() & self.values.keys():
            raise InputError(f"summaries of {self.name!r}: {sorted(twice)[0]} comes twice; give each summary once")
        self.kinds.add(kind)
        self.values.update(values)


class NamedSummary(NamedTuple):
    """A summary and the row it is of; results are shared between configs, so a summary knows no such name."""

    row: str
    path: Path


def parse_named(argument: str) -> NamedSummary:
    """`ROW=PATH`."""
    row, equals, path = argument.partition("=")
    if not (row and equals and path):
        raise InputError(f"summary {argument!r}: reads ROW=PATH, such as main=summary.json")
    return NamedSummary(row, Path(path))


def read_summary(path: Path) -> Any:
    """One summary, checked; InputError names the file and the key."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"summary {path}: not a readable JSON file ({error})") from None
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        raise InputError(explain(error.errors()[0], f"summary {path}")) from None


def own_protocol(protocol: dict[str, Any], metric: str, others: Collection[str]) -> dict[str, Any]:
    """The part of a summary's protocol that concerns one metric: what is named after others alone goes.

    `lpips_vgg_sha256` speaks of `lpips_vgg`, and `lpips` of both LPIPS metrics.
    """
    return {
        key: own_protocol(value, metric, others) if isinstance(value, dict) else value
        for key, value in protocol.items()
        if _related(key, metric) or not any(_related(key, other) for other in others)
    }


def _related(key: str, metric: str) -> bool:
    return key == metric or key.startswith(f"{metric}_") or metric.startswith(f"{key}_")


def gather(
    summaries: Sequence[NamedSummary], rows: Sequence[TableRow], kinds: frozenset[str]
) -> tuple[list[Measurement], list[Measurement]]:
    """The measurements of `rows`, in their order, and those of unlisted autoencoders' counts.

    The latter, such as the counts at the paper's sizes, only stand beside published rows.
    """
    measurements = {row.name: _empty(row) for row in rows}
    if len(measurements) < len(rows):
        raise InputError("settings: rows: a name comes twice; name each row once")
    unlisted: dict[str, Measurement] = {}
    for name, path in summaries:
        summary = read_summary(path)
        if summary.kind not in kinds:
            raise InputError(f"summary {path}: kind {summary.kind}, but this table is made of {_either(kinds)}")
        if name not in measurements and summary.kind != "complexity":
            raise InputError(f"summary {path}: {name!r} is none of the table's rows ({', '.join(measurements)})")
        target = measurements[name] if name in measurements else unlisted.setdefault(name, Measurement(name))
        _READERS[summary.kind](target, summary)
    for measurement in measurements.values():
        if not measurement.kinds and "dataset" not in measurement.traits:
            raise InputError(f"row {measurement.name!r}: none of the summaries given is of it ({_either(kinds)})")
    return list(measurements.values()), list(unlisted.values())


def _either(kinds: frozenset[str]) -> str:
    return " and ".join(sorted(kinds))


def _empty(row: TableRow) -> Measurement:
    traits = {"dataset": row.dataset, "code_size": row.code_size}
    return Measurement(row.name, row.label, {key: value for key, value in traits.items() if value is not None})


def _architecture(summary: ReconstructionSummary | ComplexitySummary) -> dict[str, Any]:
    keys = ("dataset", "method", "code_size", "key_length", "feature_size")
    return {key: getattr(summary, key) for key in keys}


def _read_reconstruction(target: Measurement, summary: ReconstructionSummary) -> None:
    traits = _architecture(summary)
    for key in ("code_noise", "adversarial", "train_images"):
        traits[key] = getattr(summary, key)
    values = {
        metric: Value(
            spread.mean,
            spread.std,
            {"count": summary.count, **own_protocol(summary.protocol, metric, IMAGE_METRICS)},
        )
        for metric, spread in summary.metrics.items()
    }
    target.add("reconstruction", {**traits, "count": summary.count}, values)


def _read_complexity(target: Measurement, summary: ComplexitySummary) -> None:
    counts: dict[str, float] = {
        "decoder_params": summary.decoder_params / MILLION,
        "gmacs.paper_rule": summary.gmacs.paper_rule,
        "gmacs.true": summary.gmacs.true_count,
    }
    if summary.hash_table_params is not None:
        counts["hash_tables.ngp"] = summary.hash_table_params.ngp / MILLION
        counts["hash_tables.tcnn"] = summary.hash_table_params.tcnn / MILLION
    if summary.encoder_params is not None:
        counts["encoder_params"] = summary.encoder_params / MILLION
    target.add("complexity", _architecture(summary), {key: Value(count) for key, count in counts.items()})


def _read_generation(target: Measurement, summary: GenerationSummary) -> None:
    traits = {key: getattr(summary, key) for key in ("dataset", "method", "sample_kind", "code_size")}
    deviations = {"score_mean": summary.metrics.get("score_std")}
    values = {
        f"{summary.network}.{metric}": Value(
            number, deviations.get(metric), {**summary.protocol, "network": summary.network}
        )
        for metric, number in summary.metrics.items()
        if metric != "score_std"
    }
    target.add("generation", traits, values)


_READERS: dict[str, Any] = {
    "reconstruction": _read_reconstruction,
    "complexity": _read_complexity,
    "generation": _read_generation,
}
