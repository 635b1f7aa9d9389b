"""The measured numbers of a table: the summaries of each row joined, over training seeds, under one protocol a column.

A metric carries its protocol, and all measured numbers of a dataset in one column share one.
"""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.evaluation.summary import Summary, Value, read_summary
from bright_pipeline.models.metric_networks.manifest import is_unchecked
from bright_pipeline.settings.quantities import GENERATED, KINDS, RATIO, TIMED_TRAINING, Kind, Quantity
from bright_pipeline.settings.spaces import OF_RECONSTRUCTIONS
from bright_pipeline.stages.tables import TableJob, TableRow

SEED_MARK = "#"
# A seed draws other images by the same rule; versions of libraries are recorded and not compared.
NOT_COMPARED = {"seed", "versions"}
INTERVAL = "_interval"  # the ending of the keys that state how a metric's interval was computed

Protocol = dict[str, Any]


def read_history(path: Path) -> Summary:
    """The seconds of a training, from the last row of its history (csv)."""
    with readable(f"history {path}: a training's csv with rows and `seconds` is needed"):
        with path.open(encoding="utf-8", newline="") as file:
            seconds = float(list(csv.DictReader(file))[-1]["seconds"])
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds {seconds}")
    return Summary(kind=TIMED_TRAINING.name, values={"training.seconds": Value(number=seconds)})


class MeasuredValue(Value):
    """A value of a row: of one training seed, or the mean over several."""

    kind: str  # the kind of its summary
    of_seeds: tuple[float, ...] = ()  # the numbers of several training seeds, of which `number` is the mean

    @property
    def seeds(self) -> int:
        """The number of training seeds."""
        return len(self.of_seeds) or 1

    @property
    def seed_std(self) -> float | None:
        """The standard deviation over training seeds, with N - 1 in the denominator."""
        return stdev(self.of_seeds) if self.of_seeds else None


@dataclass
class Measurement:
    """Everything measured of one row, with one training seed or over several."""

    name: str
    label: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    values: dict[str, MeasuredValue] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)  # the summaries' paths, by kind

    @property
    def kinds(self) -> set[str]:
        return set(self.files)

    @property
    def is_counted(self) -> bool:
        """Whether no value needs a trained model."""
        return not any(KINDS[kind].of_training for kind in self.kinds)

    def add(self, summary: Summary, path: str) -> None:
        """Join another summary of the same row; InputError where the two contradict."""
        self.join_traits(summary.traits)
        for key in sorted(summary.values.keys() & self.values.keys()):
            differences = differing(self.values[key].protocol, summary.values[key].protocol)
            problem = f"has two protocols: {differences}" if differences else "is given twice"
            raise InputError(f"summaries of {self.name!r}: {key} {problem}; give each summary once")
        for key, value in summary.values.items():
            self.values[key] = MeasuredValue(**dict(value), kind=summary.kind)
        self.files.setdefault(summary.kind, []).append(path)

    def join_traits(self, traits: dict[str, Any]) -> None:
        """Add the traits of another summary or seed; InputError where two contradict."""
        for key, value in traits.items():
            if value is not None and self.traits.setdefault(key, value) != value:
                both = f"{self.traits[key]!r} in one and {value!r} in another"
                raise InputError(f"summaries of {self.name!r}: {key} is {both}; give summaries of one run")

    def counts(self) -> "Measurement":
        """Its counts and its decoding speed alone: they can match a published row where its images do not."""
        values = {key: value for key, value in self.values.items() if not KINDS[value.kind].of_training}
        files = {kind: paths for kind, paths in self.files.items() if not KINDS[kind].of_training}
        return replace(self, values=values, files=files)


def gather(
    summaries: Sequence[tuple[str, Path]], job: TableJob, kinds: tuple[Kind, ...]
) -> tuple[list[Measurement], list[Measurement], list[Measurement]]:
    """Read the summaries and join those of each row; InputError for a summary of no row or of another kind.

    A summary's name is its row, `ROW#SEED` for a further training seed; it contains no name itself, because configs
    share results.
    Returns the measurements of the rows, of models that appear only beside published rows, and of each training seed.
    """
    rows = {row.name: row for row in [*job.rows, *job.counted]}
    if len(rows) < len(job.rows) + len(job.counted):
        raise InputError("settings: rows: duplicate name; name each row once")
    of_samples = kinds == (GENERATED,)
    expected = " and ".join(sorted(kind.name for kind in kinds))
    measured: dict[str, dict[str, Measurement]] = {name: {} for name in rows}
    for name, path in summaries:
        base, mark, seed = name.rpartition(SEED_MARK)
        row = base if name not in rows and mark and seed in map(str, job.training_seeds[1:]) else name
        if row not in rows:
            raise InputError(f"summary {path}: {name!r} is none of the table's rows ({', '.join(rows)})")
        summary = read_history(path) if path.suffix == ".csv" else read_summary(path, rows[row].model or name)
        if KINDS.get(summary.kind) not in kinds:
            raise InputError(f"summary {path}: kind {summary.kind}, but this table is made of {expected}")
        if KINDS[summary.kind] is GENERATED and not of_samples:
            # The row is the autoencoder, not the model that made the samples.
            traits = {key: trait for key, trait in summary.traits.items() if key not in ("method", "sample_kind")}
            summary = summary.model_copy(update={"traits": traits})
        measured[row].setdefault(name, _empty(rows[row], name)).add(summary, str(path))
    for name, of_seeds in measured.items():
        if not of_seeds and not of_samples:  # all networks of a sample set may be missing
            raise InputError(f"row {name!r}: none of the summaries given is of it ({expected})")
        for measurement in of_seeds.values():
            measurement.values |= ratios(measurement.values)
    seeds = {name: list(of_seeds.values()) or [_empty(rows[name], name)] for name, of_seeds in measured.items()}
    joined = {name: over_seeds(name, of_row) for name, of_row in seeds.items()}
    each_seed = [measurement for row in job.rows for measurement in seeds[row.name]]
    return [joined[row.name] for row in job.rows], [joined[row.name] for row in job.counted], each_seed


def _empty(row: TableRow, name: str) -> Measurement:
    return Measurement(name, row.label, row.model_dump(exclude={"name", "label", "model"}, exclude_none=True))


def ratios(values: dict[str, MeasuredValue]) -> dict[str, MeasuredValue]:
    """The distance of samples over that of their autoencoder's reconstructions, where both are to the same images."""
    quotients: dict[str, MeasuredValue] = {}
    for name, of_samples in values.items():
        of_reconstructions = values.get(OF_RECONSTRUCTIONS + name)
        if of_reconstructions is None or of_reconstructions.number == 0:
            continue
        protocols = (of_samples.protocol, of_reconstructions.protocol)
        images, others = ([it.get(key) for key in ("reference_sha256", "reference_count")] for it in protocols)
        if images == others:
            ratio = of_samples.number / of_reconstructions.number
            quotients[RATIO + name] = of_samples.model_copy(update={"number": ratio, "std": None, "interval": None})
    return quotients


def over_seeds(row: str, seeds: list[Measurement]) -> Measurement:
    """Means and standard deviations of a row's measurements over training seeds; a single one is unchanged."""
    if len(seeds) == 1:
        return seeds[0]
    joined = Measurement(row, seeds[0].label)
    for measurement in seeds:
        joined.join_traits(measurement.traits)
        for kind, files in measurement.files.items():
            joined.files.setdefault(kind, []).extend(files)
    for key in dict.fromkeys(key for measurement in seeds for key in measurement.values):
        values = [measurement.values[key] for measurement in seeds if key in measurement.values]
        joined.values[key] = values[0]
        if len(values) > 1:
            numbers = tuple(value.number for value in values)
            deviations = [value.std for value in values if value.std is not None]
            # The deviation over images is pooled; an interval belongs to the number of one seed, not to the mean.
            pooled = sqrt(fmean(std**2 for std in deviations)) if deviations else None
            mean = {"number": fmean(numbers), "of_seeds": numbers, "std": pooled, "interval": None}
            joined.values[key] = values[0].model_copy(update=mean)
    return joined


def shared_protocols(each_seed: list[Measurement], quantity: Quantity) -> dict[str, Protocol]:
    """The protocol of a column for each dataset; InputError names two rows whose protocols differ, and the keys."""
    first: dict[str, tuple[str, Protocol]] = {}
    for measurement in each_seed:
        if quantity.compared not in measurement.values:
            continue
        dataset, protocol = measurement.traits["dataset"], measurement.values[quantity.compared].protocol
        row, shared = first.setdefault(dataset, (measurement.name, protocol))
        if differences := differing(shared, protocol):
            where = f"column {quantity.label}, dataset {dataset}: rows {row!r} and {measurement.name!r}"
            remedy = "evaluate both alike or put them in two tables"
            raise InputError(f"{where} have two protocols: {differences}; {remedy}")
    return {dataset: flat(protocol) for dataset, (_, protocol) in first.items()}


def flat(protocol: Protocol, prefix: str = "") -> Protocol:
    """The keys that are compared; nested ones are joined by dots."""
    entries: Protocol = {}
    for key, value in sorted((key, protocol[key]) for key in protocol.keys() - NOT_COMPARED):
        entries |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return entries


def differing(first: Protocol, second: Protocol) -> str:
    """The differences between two protocols, such as `count 1000 and 500`; empty where they are equal."""
    first, second = flat(first), flat(second)
    keys = [key for key in sorted({*first, *second}) if first.get(key) != second.get(key)]
    return "; ".join(f"{key} {first.get(key)!r} and {second.get(key)!r}" for key in keys)


def protocol_parts(protocol: Protocol) -> list[str]:
    """A protocol in words for a footnote: hashes shortened to twelve digits, without the method of its intervals."""
    parts = {key: value for key, value in protocol.items() if not key.endswith(INTERVAL)}
    for key, value in parts.items():
        if not isinstance(value, float | int | str):
            parts[key] = json.dumps(value, sort_keys=True)
        elif key.endswith("sha256"):
            name = protocol.get("network", "") if key == "network_sha256" else key.removesuffix("_sha256")
            parts[key] = f"{str(value)[:12]}{' (hash not checked)' if is_unchecked(str(name)) else ''}"
    return [f"{key} {value}" for key, value in parts.items()]
