"""The run's own numbers: summaries of the stages, gathered into one measurement per row.

A measurement's values are named by what made them: `lpips_alex` (a reconstruction metric),
`inception.frechet_distance` (a metric in a feature space), `rfid.inception.frechet_distance` (the same of
reconstructions), `hash_tables.ngp` (a count).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.base.errors import InputError
from pipeline.tables.job import TableJob, TableRow
from pipeline.tables.protocols import differing, own_protocol
from pipeline.tables.summaries import (
    CodesSummary,
    ComplexitySummary,
    DecodedModel,
    DecodingSummary,
    FeatureSummary,
    GenerationSummary,
    NamedSummary,
    ReconstructionDistanceSummary,
    ReconstructionSummary,
    TrainingSummary,
    read_summary,
)

MILLION = 1e6
IMAGE_METRICS = frozenset({"lpips_alex", "lpips_vgg", "ssim", "psnr"})
# One column for precision and recall on VGG16, whatever their protocol: rows of both protocols are refused.
COLUMN_SPACES = {"vgg16_paper": "vgg16"}
SEED_MARK = "#"


@dataclass(frozen=True)
class Value:
    """A measured number and what is known of it.

    std is over images (or the score's splits), seed_std over training seeds; interval as the protocol says.
    """

    number: float
    std: float | None = None
    protocol: dict[str, Any] = field(default_factory=dict)
    interval: tuple[float, float] | None = None
    seed_std: float | None = None
    seeds: int = 1


@dataclass
class Measurement:
    """All that the summaries say about one row, of one training seed or of several together."""

    name: str
    label: str | None = None
    traits: dict[str, Any] = field(default_factory=dict)
    kinds: set[str] = field(default_factory=set)
    values: dict[str, Value] = field(default_factory=dict)
    files: dict[str, list[str]] = field(default_factory=dict)
    """The summaries' paths, by their kinds."""

    def add(self, kind: str, traits: dict[str, Any], values: dict[str, Value]) -> None:
        """Join another summary; both must speak of the same thing."""
        self.join_traits(traits)
        for key in sorted(values.keys() & self.values.keys()):
            told = differing(self.values[key].protocol, values[key].protocol)
            problem = f"has two protocols: {told}" if told else "comes twice"
            raise InputError(f"summaries of {self.name!r}: {key} {problem}; give each summary once")
        self.kinds.add(kind)
        self.values.update(values)

    def join_traits(self, traits: dict[str, Any]) -> None:
        """Take over what another summary or seed says of the row; InputError where the two contradict."""
        for key, value in traits.items():
            if value is not None and self.traits.setdefault(key, value) != value:
                raise InputError(
                    f"summaries of {self.name!r}: {key} is {self.traits[key]!r} in one and {value!r}"
                    " in another; give summaries of one run"
                )


@dataclass
class Gathered:
    """The measurements of a table's rows, in their order, one for each training seed of a row.

    `unlisted` are counts of other autoencoders, such as those at the paper's sizes, that only stand beside
    published rows.
    """

    rows: dict[str, list[Measurement]]
    unlisted: list[Measurement]

    @property
    def all(self) -> list[Measurement]:
        return [measurement for seeds in self.rows.values() for measurement in seeds]


def gather(summaries: Sequence[NamedSummary], job: TableJob, kinds: frozenset[str]) -> Gathered:
    """Read the summaries and put each where it belongs; InputError on one that belongs nowhere."""
    rows = {row.name: row for row in job.rows}
    if len(rows) < len(job.rows):
        raise InputError("settings: rows: a name comes twice; name each row once")
    found: dict[str, dict[str, Measurement]] = {name: {} for name in rows}
    unlisted: dict[str, Measurement] = {}
    for name, path in summaries:
        summary = read_summary(path)
        if summary.kind not in kinds:
            raise InputError(f"summary {path}: kind {summary.kind}, but this table is made of {_either(kinds)}")
        row = name if name in rows else _row_of(name, job)
        if row in rows:
            target = found[row].setdefault(name, _empty(rows[row], name))
        elif summary.kind == "complexity":
            target = unlisted.setdefault(name, Measurement(name))
        else:
            raise InputError(f"summary {path}: {name!r} is none of the table's rows ({', '.join(rows)})")
        _READERS[summary.kind](target, summary)
        target.files.setdefault(summary.kind, []).append(str(path))
    for name in rows:
        if not found[name] and rows[name].dataset is None:
            raise InputError(f"row {name!r}: none of the summaries given is of it ({_either(kinds)})")
    seeds = {name: list(of_seeds.values()) or [_empty(rows[name], name)] for name, of_seeds in found.items()}
    return Gathered(seeds, list(unlisted.values()))


def _row_of(name: str, job: TableJob) -> str:
    """The row that a summary's name speaks of: itself, or what stands before `#SEED`."""
    row, mark, seed = name.rpartition(SEED_MARK)
    return row if mark and seed in map(str, job.training_seeds[1:]) else name


def _either(kinds: frozenset[str]) -> str:
    return " and ".join(sorted(kinds))


def _empty(row: TableRow, name: str) -> Measurement:
    traits = {"dataset": row.dataset, "code_size": row.code_size}
    return Measurement(name, row.label, {key: value for key, value in traits.items() if value is not None})


def _architecture(summary: ReconstructionSummary | ComplexitySummary | CodesSummary | DecodedModel) -> dict[str, Any]:
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


def _in_space(summary: FeatureSummary, prefix: str = "") -> dict[str, Value]:
    """The metrics of a feature space, by the names of the space's column."""
    protocol = {**summary.protocol, "network": summary.network, "space": summary.space}
    deviations = {"score_mean": summary.metrics.get("score_std")}
    intervals = {metric: (interval.low, interval.high) for metric, interval in summary.intervals.items()}
    return {
        f"{prefix}{COLUMN_SPACES.get(summary.space, summary.space)}.{metric}": Value(
            number, deviations.get(metric), protocol, intervals.get(metric)
        )
        for metric, number in summary.metrics.items()
        if metric != "score_std"
    }


def _read_generation(target: Measurement, summary: GenerationSummary) -> None:
    traits = {key: getattr(summary, key) for key in ("dataset", "method", "sample_kind", "code_size")}
    target.add("generation", traits, _in_space(summary))


def _read_reconstruction_distance(target: Measurement, summary: ReconstructionDistanceSummary) -> None:
    traits = {key: getattr(summary, key) for key in ("dataset", "method", "code_size")}
    target.add("reconstruction_distance", traits, _in_space(summary, "rfid."))


def _read_codes(target: Measurement, summary: CodesSummary) -> None:
    traits = _architecture(summary)
    for key in ("code_noise", "adversarial", "train_images"):
        traits[key] = getattr(summary, key)
    if summary.table_entries_log2 is not None:
        traits["table_entries"] = f"2^{summary.table_entries_log2}"
    used, noise, kept = summary.usage, summary.noise, summary.storage
    numbers: dict[str, float | None] = {
        "code_minimum": summary.codes.minimum,
        "code_maximum": summary.codes.maximum,
        "code_variance": summary.codes.variance,
        "psnr_quiet": noise.psnr,
        **noise.model_dump(include={"psnr_fall", "lpips_rise", "tolerated_deviations", "tolerated_half_cells"}),
        "table_megabytes": kept.tables / MILLION,
        "decoding_megabytes": kept.decoding / MILLION,
        "code_bytes": kept.code_bits / 8,
        "collection_megabytes": kept.codes / MILLION,
        "kept_megabytes": (kept.decoding + kept.codes) / MILLION,
    }
    if used is not None:
        numbers |= {**used.model_dump(), "used_share": 100 * used.used_share}
    values = {
        f"codes.{key}": Value(number, None, summary.protocol) for key, number in numbers.items() if number is not None
    }
    target.add("codes", traits, values)


def _read_decoding(target: Measurement, summary: DecodingSummary) -> None:
    if target.name not in summary.models:
        raise InputError(f"decoding: {target.name!r} is none of the models measured ({', '.join(summary.models)})")
    model = summary.models[target.name]
    rates = model.images_per_second
    value = Value(rates.median, None, summary.protocol, (rates.low, rates.high))
    target.add("decoding", _architecture(model), {"decoding.images_per_second": value})


def _read_training(target: Measurement, summary: TrainingSummary) -> None:
    target.add("training", {}, {"training.seconds": Value(summary.seconds)})


_READERS: dict[str, Any] = {
    "reconstruction": _read_reconstruction,
    "complexity": _read_complexity,
    "generation": _read_generation,
    "reconstruction_distance": _read_reconstruction_distance,
    "codes": _read_codes,
    "decoding": _read_decoding,
    "training": _read_training,
}
