"""The run's own numbers: the summaries of each row gathered into one measurement, over its training seeds."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from pipeline.base.errors import InputError
from pipeline.base.summary import Summary, Value, read_summary
from pipeline.stages.tables import TableJob, TableRow
from pipeline.tables.protocols import differing
from pipeline.tables.quantities import RATIO

SEED_MARK = "#"
COUNTED_KINDS = frozenset({"complexity", "decoding"})  # nothing has to be trained for these


class NamedSummary(NamedTuple):
    """A summary and the row that it belongs to: configs share results, so a summary has no name of a config."""

    row: str
    path: Path


def parse_named(argument: str) -> NamedSummary:
    """`ROW=PATH`; a further training seed's summary reads `ROW#SEED=PATH`."""
    row, equals, path = argument.partition("=")
    if not (row and equals and path):
        raise InputError(f"summary {argument!r}: reads ROW=PATH, such as main=summary.json")
    return NamedSummary(row, Path(path))


def read_history(path: Path) -> Summary:
    """The seconds of a training, from the last row of its history (csv)."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            seconds = float(list(csv.DictReader(file))[-1]["seconds"])
        if not 0 <= seconds < float("inf"):
            raise ValueError(f"seconds {seconds}")
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise InputError(f"history {path}: a training's csv with rows and `seconds` is needed ({error!r})") from None
    return Summary(kind="training", values={"training.seconds": Value(number=seconds)})


class MeasuredValue(Value):
    """A value of a table's row: of one training seed, or the mean over several."""

    kind: str
    """Of the summary that it comes from."""
    seed_std: float | None = None
    """Standard deviation over training seeds."""
    seeds: int = 1


@dataclass
class Measurement:
    """All that the summaries say about one row, of one training seed or of several together."""

    name: str
    label: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    values: dict[str, MeasuredValue] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    """The summaries' paths, by their kinds."""

    @property
    def kinds(self) -> set[str]:
        """The kinds of its summaries."""
        return set(self.files)

    @property
    def is_counted(self) -> bool:
        """Whether nothing of it was trained."""
        return self.kinds <= COUNTED_KINDS

    def add(self, summary: Summary, path: str) -> None:
        """Join another summary of the same row; InputError where the two contradict."""
        self.join_traits(summary.traits)
        for key in sorted(summary.values.keys() & self.values.keys()):
            told = differing(self.values[key].protocol, summary.values[key].protocol)
            problem = f"has two protocols: {told}" if told else "comes twice"
            raise InputError(f"summaries of {self.name!r}: {key} {problem}; give each summary once")
        for key, value in summary.values.items():
            self.values[key] = MeasuredValue(**dict(value), kind=summary.kind)
        self.files.setdefault(summary.kind, []).append(path)

    def join_traits(self, traits: dict[str, Any]) -> None:
        """Take over what another summary or seed says of the row; InputError where the two contradict."""
        for key, value in traits.items():
            if value is not None and self.traits.setdefault(key, value) != value:
                raise InputError(
                    f"summaries of {self.name!r}: {key} is {self.traits[key]!r} in one and {value!r}"
                    " in another; give summaries of one run"
                )

    def counts(self) -> "Measurement":
        """Its counts and its speed alone, which can match a published row where its images do not."""
        values = {key: value for key, value in self.values.items() if value.kind in COUNTED_KINDS}
        files = {kind: paths for kind, paths in self.files.items() if kind in COUNTED_KINDS}
        return replace(self, values=values, files=files)


@dataclass
class Gathered:
    """The measurements of a table: of its rows in their order, and those that only stand beside published rows."""

    rows: list[Measurement]
    counted: list[Measurement]
    each_seed: list[Measurement]
    """Those of the rows, one for each training seed."""


def gather(summaries: Sequence[NamedSummary], job: TableJob, kinds: frozenset[str]) -> Gathered:
    """Read the summaries and put each where it belongs; InputError on one that belongs nowhere."""
    rows = {row.name: row for row in [*job.rows, *job.counted]}
    if len(rows) < len(job.rows) + len(job.counted):
        raise InputError("settings: rows: a name comes twice; name each row once")
    found: dict[str, dict[str, Measurement]] = {name: {} for name in rows}
    for name, path in summaries:
        row = name if name in rows else _row_of(name, job)
        if row not in rows:
            raise InputError(f"summary {path}: {name!r} is none of the table's rows ({', '.join(rows)})")
        summary = read_history(path) if path.suffix == ".csv" else read_summary(path, rows[row].model or name)
        if summary.kind not in kinds:
            told = " and ".join(sorted(kinds))
            raise InputError(f"summary {path}: kind {summary.kind}, but this table is made of {told}")
        if summary.kind == "generation" and kinds != {"generation"}:  # the row is an autoencoder, not what samples
            traits = {key: trait for key, trait in summary.traits.items() if key not in ("method", "sample_kind")}
            summary = summary.model_copy(update={"traits": traits})
        found[row].setdefault(name, _empty(rows[row], name)).add(summary, str(path))
    for measurement in (one for of_row in found.values() for one in of_row.values()):
        measurement.values |= ratios(measurement.values)
    for name in rows:
        if not found[name] and kinds != {"generation"}:  # a sample set may lack all of its networks
            raise InputError(f"row {name!r}: none of the summaries given is of it ({' and '.join(sorted(kinds))})")
    seeds = {name: list(of_seeds.values()) or [_empty(rows[name], name)] for name, of_seeds in found.items()}
    joined = {name: over_seeds(name, of_row) for name, of_row in seeds.items()}
    return Gathered(
        [joined[row.name] for row in job.rows],
        [joined[row.name] for row in job.counted],
        [measurement for row in job.rows for measurement in seeds[row.name]],
    )


def ratios(values: dict[str, MeasuredValue]) -> dict[str, MeasuredValue]:
    """The distance of samples over that of their autoencoder's reconstructions, where both are to the same images."""
    found: dict[str, MeasuredValue] = {}
    for key, of_reconstructions in values.items():
        name = key.removeprefix("rfid.")
        if name == key or name not in values or of_reconstructions.number == 0:
            continue
        of_samples, images = values[name], ("reference_sha256", "reference_count")
        if all(of_samples.protocol.get(one) == of_reconstructions.protocol.get(one) for one in images):
            ratio = of_samples.number / of_reconstructions.number
            found[RATIO + name] = of_samples.model_copy(update={"number": ratio, "std": None, "interval": None})
    return found


def _row_of(name: str, job: TableJob) -> str:
    """The row that a summary's name speaks of: itself, or what stands before `#SEED`."""
    row, mark, seed = name.rpartition(SEED_MARK)
    return row if mark and seed in map(str, job.training_seeds[1:]) else name


def _empty(row: TableRow, name: str) -> Measurement:
    traits = row.model_dump(exclude={"name", "label", "model"}, exclude_none=True)
    return Measurement(name, row.label, traits)


def over_seeds(row: str, seeds: list[Measurement]) -> Measurement:
    """One measurement of a row from one for each training seed; that itself where there is one alone."""
    if len(seeds) == 1:
        return seeds[0]
    joined = Measurement(row, seeds[0].label)
    for measurement in seeds:
        joined.join_traits(measurement.traits)
        for kind, files in measurement.files.items():
            joined.files.setdefault(kind, []).extend(files)
    for key in dict.fromkeys(key for measurement in seeds for key in measurement.values):
        joined.values[key] = _mean([measurement.values[key] for measurement in seeds if key in measurement.values])
    return joined


def _mean(values: list[MeasuredValue]) -> MeasuredValue:
    """Mean and standard deviation (N - 1 in the denominator) over seeds; the images' deviation pooled.

    The intervals go: each is of one seed's number.
    """
    if len(values) == 1:
        return values[0]
    numbers, deviations = [value.number for value in values], [value.std for value in values if value.std is not None]
    pooled = sqrt(fmean(std**2 for std in deviations)) if deviations else None
    joined = {"number": fmean(numbers), "std": pooled, "interval": None}
    return values[0].model_copy(update=joined | {"seed_std": stdev(numbers), "seeds": len(values)})
