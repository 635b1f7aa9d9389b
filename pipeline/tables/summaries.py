"""Summaries of the stages, as the tables read them: what each says of its row, and its values.

A value is named by what made it: `lpips_alex` (a reconstruction metric), `inception.frechet_distance` (a metric in a
feature space), `rfid.inception.frechet_distance` (the same of reconstructions), `hash_tables.ngp` (a count).
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.base.errors import InputError
from pipeline.base.parsing import explain, read_json
from pipeline.tables.protocols import own_protocol
from pipeline.tables.quantities import RECONSTRUCTION

MILLION = 1e6
IMAGE_METRICS = frozenset(quantity.compared for quantity in RECONSTRUCTION)
# One column for precision and recall on VGG16, whatever their protocol: rows of both protocols are refused.
COLUMN_SPACES = {"vgg16_paper": "vgg16"}
# The keys that tell rows apart, in whatever summary they stand.
TRAITS = {
    *("method", "code_size", "key_length", "feature_size", "code_noise", "adversarial", "train_images"),
    "ablation",
    *("sample_kind", "resolution"),
}


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
    kind: str = ""  # of the summary that it is from


class Summary(BaseModel):
    """What the summaries share; keys that no table reads are allowed."""

    model_config = ConfigDict(extra="allow", frozen=True, allow_inf_nan=False)

    protocol: dict[str, Any] = {}

    def traits(self, row: str) -> dict[str, Any]:
        """What the summary says of its row, such as the code size."""
        return {key: value for key, value in (self.model_extra or {}).items() if key in TRAITS}

    def of(self, prefix: str, numbers: Mapping[str, Any]) -> dict[str, Value]:
        """Plain numbers, those that there are."""
        known = {key: number for key, number in numbers.items() if isinstance(number, int | float)}
        return {f"{prefix}{key}": Value(number, None, self.protocol) for key, number in known.items()}


class Spread(BaseModel):
    """Mean and standard deviation over images."""

    model_config = ConfigDict(allow_inf_nan=False)

    mean: float
    std: float | None = None


class Interval(BaseModel):
    """Where a number lies; the protocol says how the interval was made."""

    model_config = ConfigDict(allow_inf_nan=False)

    low: float
    high: float


class Bits(BaseModel):
    """Bits of an image's code, and what bounds them (`pipeline/models/code_bits.py`)."""

    model_config = ConfigDict(allow_inf_nan=False)

    per_image: float = Field(ge=0)
    counted_by: str


class ReconstructionSummary(Summary):
    """Reconstruction of a validation split by one autoencoder."""

    kind: Literal["reconstruction"]
    count: int
    metrics: dict[str, Spread]
    code_bits: Bits | None = None

    def traits(self, row: str) -> dict[str, Any]:
        return {**super().traits(row), "resolution": self.protocol.get("resolution")}

    def values(self, row: str) -> dict[str, Value]:
        protocol = {"count": self.count, **self.protocol}
        values = {
            metric: Value(spread.mean, spread.std, own_protocol(protocol, metric, IMAGE_METRICS))
            for metric, spread in self.metrics.items()
        }
        bits = {} if self.code_bits is None else {"code_bits": Value(self.code_bits.per_image)}
        return values | bits


class SummaryOfModels(Summary):
    """One measurement of several models, by what it calls them; a row's is picked by that name."""

    kind: str
    models: Mapping[str, Summary]

    def traits(self, row: str) -> dict[str, Any]:
        if row not in self.models:
            raise InputError(f"{self.kind}: {row!r} is none of the models measured ({', '.join(self.models)})")
        return self.models[row].traits(row)


class CountedModel(Summary):
    """Counts of one autoencoder: parameters, and multiply-accumulates of retrieval and decoding in units of 10^9."""

    hash_table_params: dict[str, int] | None = None
    """By the two table conventions, ngp and tcnn."""
    decoder_params: int
    encoder_params: int | None = None
    gmacs: dict[str, float]
    """By the paper's rule and by the true count."""

    def values(self) -> dict[str, Value]:
        parameters = {"decoder_params": self.decoder_params, "encoder_params": self.encoder_params}
        parameters |= {f"hash_tables.{name}": count for name, count in (self.hash_table_params or {}).items()}
        millions = {key: count / MILLION for key, count in parameters.items() if count is not None}
        return self.of("", millions) | self.of("gmacs.", self.gmacs)


class ComplexitySummary(SummaryOfModels):
    """Counts of several autoencoders."""

    kind: Literal["complexity"]
    models: dict[str, CountedModel]

    def values(self, row: str) -> dict[str, Value]:
        return self.models[row].values()


class FeatureSummary(Summary):
    """An image set against a reference set in one feature space (a network, a preprocessing and a layer).

    The set is of samples, or of the reconstructions of a validation split, against that split (rFID).
    """

    kind: Literal["generation", "reconstruction_distance"]
    network: str
    space: str
    metrics: dict[str, float]
    intervals: dict[str, Interval] = {}

    def traits(self, row: str) -> dict[str, Any]:
        return {**super().traits(row), "prepared": self.protocol.get("reference_prepared")}

    def values(self, row: str) -> dict[str, Value]:
        """The metrics, by the names of the space's column."""
        prefix = "rfid." if self.kind == "reconstruction_distance" else ""
        protocol = {**self.protocol, "network": self.network, "space": self.space}
        intervals = {metric: (interval.low, interval.high) for metric, interval in self.intervals.items()}
        return {
            f"{prefix}{COLUMN_SPACES.get(self.space, self.space)}.{metric}": Value(
                number, self.metrics.get(f"{metric.removesuffix('_mean')}_std"), protocol, intervals.get(metric)
            )
            for metric, number in self.metrics.items()
            if not metric.endswith("_std")
        }


class Storage(BaseModel):
    """Bytes of a model and of a collection's codes, and bits of one image's code."""

    tables: int
    decoding: int
    code_bits: int
    codes: int


class CodesSummary(Summary):
    """The codes of a training split by one autoencoder (section 3.4): use of entries, range, noise, bytes."""

    kind: Literal["codes"]
    table_entries_log2: int | None = None
    usage: dict[str, Any] | None
    codes: dict[str, Any]
    noise: dict[str, Any]
    storage: Storage

    def traits(self, row: str) -> dict[str, Any]:
        entries = self.table_entries_log2
        return {**super().traits(row), "table_entries": None if entries is None else f"2^{entries}"}

    def values(self, row: str) -> dict[str, Value]:
        used, kept = self.usage or {}, self.storage
        numbers = {
            **{key: 100 * number if key == "used_share" else number for key, number in used.items()},
            **{f"code_{key}": number for key, number in self.codes.items()},
            **self.noise,
            "psnr_quiet": self.noise.get("psnr"),
            "table_megabytes": kept.tables / MILLION,
            "decoding_megabytes": kept.decoding / MILLION,
            "code_bytes": kept.code_bits / 8,
            "collection_megabytes": kept.codes / MILLION,
            "kept_megabytes": (kept.decoding + kept.codes) / MILLION,
        }
        return self.of("codes.", numbers)


class Rates(Interval):
    """Images per second: the median round, the slowest and the fastest."""

    median: float


class DecodedModel(Summary):
    """One of the models that took turns."""

    images_per_second: Rates


class DecodingSummary(SummaryOfModels):
    """Decoded images per second of several autoencoders."""

    kind: Literal["decoding"]
    models: dict[str, DecodedModel]

    def values(self, row: str) -> dict[str, Value]:
        rates = self.models[row].images_per_second
        return {"decoding.images_per_second": Value(rates.median, None, self.protocol, (rates.low, rates.high))}


class TrainingSummary(Summary):
    """What a training's history (csv) says of its length."""

    kind: Literal["training"]
    seconds: float = Field(ge=0)

    def values(self, row: str) -> dict[str, Value]:
        return self.of("training.", {"seconds": self.seconds})


AnySummary = Annotated[
    ReconstructionSummary | ComplexitySummary | FeatureSummary | CodesSummary | DecodingSummary,
    Field(discriminator="kind"),
]
ADAPTER: TypeAdapter[Any] = TypeAdapter(AnySummary)


class NamedSummary(NamedTuple):
    """A summary and the row it is of; results are shared between configs, so a summary knows no such name."""

    row: str
    path: Path


def parse_named(argument: str) -> NamedSummary:
    """`ROW=PATH`; a further training seed's summary reads `ROW#SEED=PATH`."""
    row, equals, path = argument.partition("=")
    if not (row and equals and path):
        raise InputError(f"summary {argument!r}: reads ROW=PATH, such as main=summary.json")
    return NamedSummary(row, Path(path))


def read_summary(path: Path) -> Any:
    """One summary, checked; InputError names the file and the key. A csv is a training's history."""
    if path.suffix == ".csv":
        return _read_history(path)
    try:
        return ADAPTER.validate_python(read_json(path, f"summary {path}"))
    except ValidationError as error:
        raise InputError(f"summary {path}: {explain(error.errors()[0])}") from None


def _read_history(path: Path) -> TrainingSummary:
    """Seconds until the last row of a training's history."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return TrainingSummary(kind="training", seconds=float(rows[-1]["seconds"]))
    except ValidationError as error:
        raise InputError(f"history {path}: {explain(error.errors()[0])}") from None
    except (OSError, ValueError, KeyError, IndexError, TypeError, csv.Error) as error:
        raise InputError(f"history {path}: a training's csv with rows and `seconds` is needed ({error!r})") from None
