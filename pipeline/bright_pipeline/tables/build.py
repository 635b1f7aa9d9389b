"""A built table: its lines, and the wide pandas frame of its csv, with measured numbers in full precision."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bright_pipeline.base.errors import InputError
from bright_pipeline.models.key_noise import NOISES
from bright_pipeline.settings.quantities import GENERATED, KINDS, Quantity
from bright_pipeline.settings.tables import TABLES, Table
from bright_pipeline.stages.tables import CLAIMS, TableJob
from bright_pipeline.tables.measured import SEED_MARK, Measurement, gather, shared_protocols
from bright_pipeline.tables.pairing import Cell, Line, image_counts, pair, printed_decimals, read_published

PUBLISHED, MEASURED, BOTH = "published", "measured", "published and measured"
COUNTED = "published, counts computed"  # nothing was trained: parameters and GFLOPs follow from the config
NOTE_SEPARATOR = " | "

ADVERSARIAL_WORDS = {"none": "without adversarial loss", "logistic_r1": "logistic adversarial loss"}


@dataclass(frozen=True)
class BuiltTable:
    """A table with its lines, and what the footnotes need."""

    job: TableJob
    entry: Table
    lines: list[Line]
    decimals: dict[str, tuple[int, int]]  # decimals of each quantity, by its key, and of its ±
    protocols: dict[str, dict[str, dict[str, Any]]]  # quantity key -> dataset -> protocol

    @property
    def seeded(self) -> bool:
        return len(self.job.training_seeds) > 1

    @cached_property
    def has_one_adversarial_loss(self) -> bool:
        """Whether all rows are measured, with one kind of adversarial loss or none: then no row's method names it."""
        kinds = {line.measurement.traits.get("adversarial") for line in self.lines if line.measurement is not None}
        return len(kinds) == 1 and all(line.published is None for line in self.lines)

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The content of the csv; an absent value is None, an empty cell."""
        return pd.DataFrame([self._record(line) for line in self.lines], dtype=object)

    def _record(self, line: Line) -> dict[str, Any]:
        measurement = line.measurement
        record = {"source": source(line), **identity(line, self), "name": measurement and measurement.name}
        for quantity in self.entry.quantities:
            record |= cell_columns(quantity, self.seeded, line.cells[quantity.key])
        missing = [key for key, cell in line.cells.items() if cell.is_missing]
        record["missing"] = "; ".join(missing) or None
        record["protocol"] = protocol_words(line, self.entry)
        compared = {key: cell.compared for key, cell in line.cells.items() if cell.compared}
        protocols = {key: value.protocol for key, value in compared.items() if value.protocol}
        record["measured_protocol"] = json.dumps(protocols, sort_keys=True) if protocols else None
        record["provenance"] = measurement and json.dumps(_provenance(measurement, self.job), sort_keys=True)
        record["notes"] = NOTE_SEPARATOR.join([*line.notes, *(self.job.missing if missing else ())]) or None
        return record


def build_table(job: TableJob, summaries: Sequence[tuple[str, Path]], published_folder: Path) -> BuiltTable:
    """The measured rows, each beside the published row that it matches, then the other published rows."""
    if job.table not in TABLES:
        raise InputError(f"settings: table: {job.table!r} is none of {', '.join(TABLES)}, {CLAIMS}")
    entry = TABLES[job.table]
    published = read_published(published_folder, job.table, entry)
    rows, counted, each_seed = gather(summaries, job, entry.kinds)
    protocols = {q.key: shared_protocols(each_seed, q) for q in entry.quantities if q.kind.has_protocol}
    decimals = {}
    for quantity in entry.quantities:
        # As many as the paper prints in the column and behind its ±; the quantity's own number where it prints none.
        given = published if quantity.is_published else []
        printed = printed_decimals((row.get(quantity.key, "") for row in given), quantity.decimals)
        of_spread = printed_decimals((row.get(f"{quantity.key}_pm", "") for row in given), printed)
        decimals[quantity.key] = printed, of_spread
    return BuiltTable(job, entry, pair(published, rows, counted, entry), decimals, protocols)


def measured_column(quantity: Quantity, variant: str) -> str:
    """Such as `lpips_measured`, `decoder_gflops_measured_paper_rule`."""
    return f"{quantity.key}_measured" + (f"_{variant.replace(' ', '_')}" if variant else "")


def cell_columns(quantity: Quantity, seeded: bool, cell: Cell) -> dict[str, Any]:
    """The columns of one quantity in the csv; `seeded` where rows have several training seeds."""
    key, compared = quantity.key, cell.compared
    std = compared.std if compared else None
    columns: dict[str, Any] = {}
    if quantity.is_published:
        columns[f"{key}_published"] = cell.published
        if quantity.two_std:
            columns[f"{key}_published_two_std"] = cell.published_two_std
    for variant in quantity.measured:
        columns[measured_column(quantity, variant)] = cell.values[variant].number if variant in cell.values else None
    if quantity.has_std:
        columns[f"{key}_measured_std"] = std
    if quantity.two_std:
        columns[f"{key}_measured_two_std"] = None if std is None else 2 * std
    if quantity.has_interval:
        low, high = (compared and compared.interval) or (None, None)
        columns |= {f"{key}_measured_low": low, f"{key}_measured_high": high}
    if seeded and quantity.kind.has_seeds:
        columns[f"{key}_measured_seed_std"] = compared and compared.seed_std
        columns[f"{key}_measured_seeds"] = compared and compared.seeds
    if quantity.is_published:
        columns[f"{key}_difference"] = cell.difference
    return columns


def source(line: Line) -> str:
    """Whose numbers a line has."""
    if line.published is None:
        return MEASURED
    if line.measurement is None:
        return PUBLISHED
    return COUNTED if line.measurement.is_counted else BOTH


def identity(line: Line, table: BuiltTable) -> dict[str, Any]:
    """The columns that identify a line; as published where it belongs to a published row."""
    entry = table.entry
    columns: dict[str, Any] = dict.fromkeys(entry.identity)
    if (measurement := line.measurement) is not None:
        columns |= {key: measurement.traits.get(key) for key in entry.identity}
        columns["method"] = _method(measurement, table)
        if "samples" in columns:
            columns["samples"] = ", ".join(map(str, image_counts(measurement, entry, GENERATED))) or None
    if line.published is not None:
        columns |= {key: line.published[key] for key in entry.identity if line.published.get(key)}
        if entry.samples is not None:
            columns["samples"] = str(entry.samples)
    return columns


def _method(measurement: Measurement, table: BuiltTable) -> str:
    """The row's label, or its method with the words for its variant, which may be those of the config's entry."""
    if measurement.label is not None:
        return measurement.label
    traits = measurement.traits
    words_of_entry = traits.get("variant_label") if table.entry.baseline != "first" else None
    noise = traits.get("code_noise") or ""
    noise_words = f"noise {noise}" if "," in noise else NOISES[noise].words if noise in NOISES else ""
    if noise and table.entry.shows_noise:
        noise_words = noise_words or "with noise"
    adversarial = "" if table.has_one_adversarial_loss else ADVERSARIAL_WORDS.get(traits.get("adversarial", ""))
    variant = ", ".join(filter(None, (words_of_entry or traits.get("ablation"), noise_words, adversarial)))
    method = traits.get("method", measurement.name)
    return f"{method} ({variant})" if variant else method


def protocol_words(line: Line, entry: Table) -> str:
    """How the numbers of a line were obtained, in a few words."""
    words = ["as published"] * (line.published is not None)
    if (measurement := line.measurement) is not None:
        for kind in (KINDS[name] for name in sorted(measurement.kinds)):
            counts = " or ".join(map(str, image_counts(measurement, entry, kind))) or "no"
            words.append(kind.words or f"measured on {counts} {kind.images}")
    return "; ".join(dict.fromkeys(words))


def _provenance(measurement: Measurement, job: TableJob) -> dict[str, Any]:
    """The origin of a row: its summaries, and the digests of weights, data and code."""
    summaries = {"summaries": [path for paths in measurement.files.values() for path in paths]}
    if job.provenance is None:
        return summaries
    names = [measurement.name, *(f"{measurement.name}{SEED_MARK}{seed}" for seed in job.training_seeds[1:])]
    names = [] if measurement.is_counted else names
    return summaries | {
        "weights": [folder for name in names for folder in job.provenance.weights.get(name, [])],
        "data_sha256": job.provenance.data.get(measurement.traits.get("dataset", "")),
        "code": job.provenance.code,
        "seed": job.provenance.seed,
        "training_seeds": job.training_seeds,
    }
