"""A built table: its lines, and the wide pandas frame of its csv, with measured numbers in full precision."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.stages.tables import TableJob
from pipeline.tables.layout import Layout, layout_of
from pipeline.tables.measured import SEED_MARK, Gathered, Measurement, NamedSummary, gather
from pipeline.tables.pairing import Cell, Line, counts_of, pair
from pipeline.tables.protocols import Held, one_protocol
from pipeline.tables.published import AS_PUBLISHED, Row, decimals_of, read_published
from pipeline.tables.quantities import Quantity

PUBLISHED, MEASURED, BOTH = "published", "measured", "published and measured"
COUNTED = "published, counts computed"  # nothing was trained: parameters and GFLOPs follow from the config
NOTE_SEPARATOR = " | "

NOISE_WORDS = {"none": "without noise", "before_tiling": "noise before tiling"}
ADVERSARIAL_WORDS = {"none": "without adversarial loss", "logistic_r1": "logistic adversarial loss"}
COUNTED_IMAGES = {
    "reconstruction": "validation images",
    "reconstruction_distance": "validation images",
    "generation": "samples",
    "codes": "validation images under noise",
}
TOLD_KINDS = {
    "complexity": "counted from the config",
    "decoding": "decoding timed side by side",
    "training": "training timed",
}


@dataclass(frozen=True)
class Table:
    """A built table: its lines, and what the footnotes need."""

    job: TableJob
    layout: Layout
    lines: list[Line]
    decimals: dict[str, tuple[int, int]]  # of each quantity, by its key, and of its ±
    protocols: dict[str, dict[str, dict[str, Any]]]  # quantity key -> dataset -> protocol

    @property
    def seeded(self) -> bool:
        """Whether rows have several training seeds."""
        return len(self.job.training_seeds) > 1

    @cached_property
    def frame(self) -> pd.DataFrame:
        """What the csv has: what is absent is None, an empty cell."""
        columns = ["source", *self.layout.identity, "name"]
        for quantity in self.layout.quantities:
            columns += cell_columns(quantity, self.seeded, Cell())
        columns += ["missing", "protocol", "measured_protocol", "provenance", "notes"]
        records = [self._record(line) for line in self.lines]
        return pd.DataFrame([[record.get(c) for c in columns] for record in records], columns=columns, dtype=object)

    def _record(self, line: Line) -> dict[str, Any]:
        record: dict[str, Any] = {"source": source(line), **identity(line, self)}
        if line.measurement is not None:
            record |= {
                "name": line.measurement.name,
                "measured_protocol": _protocol_json(line.measurement, self.layout),
                "provenance": _provenance_json(line.measurement, self.job),
            }
        for quantity in self.layout.quantities:
            record |= cell_columns(quantity, self.seeded, line.cells[quantity.key])
        notes = [*line.notes, *missing_notes(line, self)]
        return record | {
            "protocol": protocol_words(line, self.layout),
            "missing": "; ".join(line.missing) or None,
            "notes": NOTE_SEPARATOR.join(notes) or None,
        }


def build_table(job: TableJob, summaries: Sequence[NamedSummary], published_folder: Path) -> Table:
    """Published rows with what matches them, then the other measured rows; InputError on two protocols."""
    layout = layout_of(job.table)
    published = read_published(published_folder, job.table, layout)
    gathered = gather(summaries, job, layout.kinds)
    protocols = {
        quantity.key: one_protocol(quantity.label, _held(gathered, quantity))
        for quantity in layout.quantities
        if quantity.kind not in ("complexity", "training")
    }
    lines = pair(published, gathered.rows, gathered.counted, layout)
    return Table(job, layout, lines, {one.key: _decimals(published, one) for one in layout.quantities}, protocols)


def _held(gathered: Gathered, quantity: Quantity) -> list[Held]:
    """The protocol of each measurement that has the quantity."""
    return [
        Held(measurement.name, measurement.traits["dataset"], measurement.values[quantity.compared].protocol)
        for measurement in gathered.each_seed
        if quantity.compared in measurement.values
    ]


def _decimals(published: list[Row], quantity: Quantity) -> tuple[int, int]:
    """As many as the paper prints in the column and behind its ±; the quantity's own number where it prints none."""
    cells = [row.get(quantity.key, "") for row in published if quantity.is_published]
    spreads = [row.get(f"{quantity.key}_pm", "") for row in published if quantity.is_published]
    printed, spread = decimals_of(cells), decimals_of(spreads)
    decimals = quantity.decimals if printed is None else printed
    return decimals, decimals if spread is None else spread


def published_column(key: str) -> str:
    """Such as `lpips_published`."""
    return f"{key}_published"


def measured_column(quantity: Quantity, variant: str) -> str:
    """Such as `lpips_measured`, `decoder_gflops_measured_paper_rule`."""
    return f"{quantity.key}_measured" + (f"_{variant.replace(' ', '_')}" if variant else "")


def cell_columns(quantity: Quantity, seeded: bool, cell: Cell) -> dict[str, Any]:
    """The columns of one quantity in the csv; `seeded` where rows have several training seeds."""
    key, compared = quantity.key, cell.compared
    std = compared.std if compared else None
    columns: dict[str, Any] = {}
    if quantity.is_published:
        columns[published_column(key)] = cell.published
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
    if seeded and quantity.has_seeds:
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


def identity(line: Line, table: Table) -> dict[str, Any]:
    """What a line is, in the columns of the layout; as published where it stands in a published row."""
    layout = table.layout
    told: dict[str, Any] = dict.fromkeys(layout.identity)
    if (measurement := line.measurement) is not None:
        told |= {key: measurement.traits.get(key) for key in layout.identity}
        told["method"] = _method(measurement, layout)
        if "samples" in told:
            told["samples"] = ", ".join(map(str, counts_of(measurement, layout, "generation"))) or None
    if line.published is not None:
        told |= {key: line.published[key] for key in layout.identity if line.published.get(key)}
        if layout.samples is not None:
            told["samples"] = str(layout.samples)
    return told


def _method(measurement: Measurement, layout: Layout) -> str:
    """The row's label, or its method with what makes it a variant."""
    if measurement.label is not None:
        return measurement.label
    noise, traits = measurement.traits.get("code_noise") or "", measurement.traits
    size = f"noise {noise}" if "," in noise else ""
    of_noise = size or NOISE_WORDS.get(noise, "with noise" if noise and layout.tells_noise else "")
    words = (traits.get("ablation"), of_noise, ADVERSARIAL_WORDS.get(traits.get("adversarial", "")))
    told = ", ".join(filter(None, words))
    method = measurement.traits.get("method", measurement.name)
    return f"{method} ({told})" if told else method


def protocol_words(line: Line, layout: Layout) -> str:
    """How the numbers of a line came to be, in a few words."""
    words = [AS_PUBLISHED] * (line.published is not None)
    if (measurement := line.measurement) is not None:
        for kind in sorted(measurement.kinds):
            counts = " or ".join(map(str, counts_of(measurement, layout, kind))) or "no"
            words.append(TOLD_KINDS.get(kind) or f"measured on {counts} {COUNTED_IMAGES[kind]}")
    return "; ".join(dict.fromkeys(words))


def missing_notes(line: Line, table: Table) -> list[str]:
    """The job's notes on the missing quantities, and lines of our own on those that no note names."""
    missing = [quantity for quantity in table.layout.quantities if line.cells[quantity.key].is_missing]
    told = [note for quantity in missing for note in table.job.missing if _speaks_of(note, quantity)]
    return list(dict.fromkeys([*told, *unexplained(line, table)]))


def unexplained(line: Line, table: Table) -> dict[str, list[str]]:
    """A note on the missing quantities of each network that no note of the job explains, with their names."""
    names: dict[str | None, list[str]] = {}
    for quantity in table.layout.quantities:
        explained = any(_speaks_of(note, quantity) for note in table.job.missing)
        if line.cells[quantity.key].is_missing and not explained:
            names.setdefault(quantity.network, []).append(quantity.name)
    made = {network: f"made with the network {network}" if network else "that has it" for network in names}
    return {
        f"{', '.join(of_network)}: missing: no summary {made[network]} was given": of_network
        for network, of_network in names.items()
    }


def _speaks_of(note: str, quantity: Quantity) -> bool:
    names = [name.strip().lower() for name in note.partition(":")[0].split(",")]
    network_named = quantity.network is not None and f"network {quantity.network} " in note
    return quantity.name.lower() in names or network_named


def _protocol_json(measurement: Measurement, layout: Layout) -> str | None:
    """The whole protocol of each value, for machines."""
    protocols = {
        quantity.key: measurement.values[quantity.compared].protocol
        for quantity in layout.quantities
        if quantity.compared in measurement.values and measurement.values[quantity.compared].protocol
    }
    return json.dumps(protocols, sort_keys=True) if protocols else None


def _provenance_json(measurement: Measurement, job: TableJob) -> str:
    """What made a row: its summaries, whose folders' digests tell the rest, and the digests that a reader asks for."""
    made: dict[str, Any] = {"summaries": [path for paths in measurement.files.values() for path in paths]}
    if job.provenance is not None:
        told, trained = job.provenance, not measurement.is_counted
        further = [f"{measurement.name}{SEED_MARK}{seed}" for seed in job.training_seeds[1:]]
        names = [measurement.name, *further] * trained
        made |= {
            "weights": [folder for name in names for folder in told.weights.get(name, [])],
            "data_sha256": told.data.get(measurement.traits.get("dataset", "")),
            "code": told.code,
            "seed": told.seed,
            "training_seeds": job.training_seeds,
        }
    return json.dumps(made, sort_keys=True)
