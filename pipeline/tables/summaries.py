"""Summaries (json) of the stages, as the tables read them."""

import csv
import json
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from pipeline.base.errors import InputError
from pipeline.base.parsing import explain


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


class TrainedSummary(Summary):
    """Something measured of one trained autoencoder: what tells it apart."""

    code_size: str
    key_length: int | None = None
    feature_size: int | None = None
    code_noise: str | None = None
    adversarial: str | None = None
    train_images: int


class ReconstructionSummary(TrainedSummary):
    """Reconstruction of a validation split by one autoencoder."""

    kind: Literal["reconstruction"]
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


class Interval(BaseModel):
    """Where a metric lies; the protocol says how the interval was made."""

    low: float
    high: float


class FeatureSummary(Summary):
    """An image set against a reference set in one feature space (a network, a preprocessing and a layer)."""

    network: str
    space: str
    code_size: str | None = None
    metrics: dict[str, float]
    intervals: dict[str, Interval] = {}


class GenerationSummary(FeatureSummary):
    """A sample set against a reference set."""

    kind: Literal["generation"]
    sample_kind: str


class ReconstructionDistanceSummary(FeatureSummary):
    """The reconstructions of a validation split against that split (rFID)."""

    kind: Literal["reconstruction_distance"]


class Usage(BaseModel):
    """How codes use the entries of a codebook or of hash tables."""

    entries: int
    used_share: float
    perplexity: float
    evenness: float


class CodeRange(BaseModel):
    """Range and variance of codes."""

    minimum: float
    maximum: float
    variance: float


class NoiseNumbers(BaseModel):
    """Reconstruction from perturbed codes."""

    psnr: float
    psnr_fall: float | None
    lpips_rise: float | None
    tolerated_deviations: float
    tolerated_half_cells: float | None


class Storage(BaseModel):
    """Bytes of a model and of a collection's codes."""

    tables: int
    decoding: int
    code_bits: int
    codes: int


class CodesSummary(TrainedSummary):
    """The codes of a training split by one autoencoder (section 3.4)."""

    kind: Literal["codes"]
    table_entries_log2: int | None = None
    usage: Usage | None
    codes: CodeRange
    noise: NoiseNumbers
    storage: Storage


class Rates(BaseModel):
    """Images per second: the median round, the slowest and the fastest."""

    median: float
    low: float
    high: float


class DecodedModel(BaseModel):
    """One of the models that took turns."""

    dataset: str
    method: str
    code_size: str
    key_length: int | None = None
    feature_size: int | None = None
    images_per_second: Rates


class DecodingSummary(BaseModel):
    """Decoded images per second of several autoencoders, by the name of the row."""

    kind: Literal["decoding"]
    models: dict[str, DecodedModel]
    protocol: dict[str, Any] = {}


class TrainingSummary(BaseModel):
    """What a training's history (csv) says of its length."""

    kind: Literal["training"]
    seconds: float


AnySummary = Annotated[
    ReconstructionSummary
    | ComplexitySummary
    | GenerationSummary
    | ReconstructionDistanceSummary
    | CodesSummary
    | DecodingSummary,
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
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"summary {path}: not a readable JSON file ({error})") from None
    try:
        return ADAPTER.validate_python(values)
    except ValidationError as error:
        raise InputError(explain(error.errors()[0], f"summary {path}")) from None


def _read_history(path: Path) -> TrainingSummary:
    """Seconds until the last row of a training's history."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        return TrainingSummary(kind="training", seconds=float(rows[-1]["seconds"]))
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise InputError(f"history {path}: a training's csv with rows and `seconds` is needed ({error!r})") from None
