"""A table as one wide pandas frame: published strings as printed, measured numbers in full precision."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.tables.cells import missing_notes, quantity_cells
from pipeline.tables.columns import frame_columns
from pipeline.tables.job import TableJob
from pipeline.tables.layout import LAYOUTS, Layout
from pipeline.tables.measured import Measurement, gather
from pipeline.tables.pairing import Line, counts_of, pair
from pipeline.tables.protocols import Held, one_protocol
from pipeline.tables.published import AS_PUBLISHED, column_decimals, read_published
from pipeline.tables.quantities import Quantity
from pipeline.tables.seeds import over_seeds
from pipeline.tables.summaries import NamedSummary

PUBLISHED, MEASURED, BOTH = "published", "measured", "published and measured"
COUNTED = "published, counts computed"  # nothing was trained: parameters and GFLOPs follow from the config
NOTE_SEPARATOR = " | "

NOISE_WORDS = {"none": "without noise", "before_tiling": "noise before tiling"}
ADVERSARIAL_WORDS = {"none": "without adversarial loss", "logistic_r1": "logistic adversarial loss"}
WITHOUT_TRAINING = {"complexity", "decoding"}
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
    """A built table: its frame, and what the footnotes need."""

    job: TableJob
    layout: Layout
    frame: pd.DataFrame
    decimals: dict[str, int]  # of each quantity, by its key, and of its ±, by the key and `_two_std`
    protocols: dict[str, dict[str, dict[str, Any]]]  # quantity key -> dataset -> protocol


def build_table(job: TableJob, summaries: Sequence[NamedSummary], published_folder: Path) -> Table:
    """Published rows with what matches them, then the other measured rows; InputError on two protocols."""
    layout = LAYOUTS[job.table]
    published = read_published(published_folder, job.table)
    gathered = gather(summaries, job, layout.kinds)
    protocols = {
        quantity.key: one_protocol(quantity.label, _held(gathered.all, quantity))
        for quantity in layout.quantities
        if quantity.kind not in ("complexity", "training")
    }
    rows = [{str(key): value for key, value in row.items()} for row in published.to_dict("records")]
    listed = [over_seeds(row, seeds) for row, seeds in gathered.rows.items()]
    lines = pair(rows, listed, gathered.unlisted, layout)
    records = [_record(line, job, layout) for line in lines]
    columns = frame_columns(layout, job.seeded)
    frame = pd.DataFrame([[record.get(c) for c in columns] for record in records], columns=columns, dtype=object)
    return Table(job, layout, frame, _decimals(published, layout), protocols)


def _held(measurements: list[Measurement], quantity: Quantity) -> list[Held]:
    """The protocol of each measurement that has the quantity."""
    return [
        Held(measurement.name, measurement.traits["dataset"], measurement.values[quantity.compared].protocol)
        for measurement in measurements
        if quantity.compared in measurement.values
    ]


def _decimals(published: pd.DataFrame, layout: Layout) -> dict[str, int]:
    """As many as the paper prints in the column; the quantity's own number where it prints none."""
    decimals = {}
    for quantity in layout.quantities:
        printed = column_decimals(published, quantity.published)
        spread = column_decimals(published, f"{quantity.published}_pm")
        decimals[quantity.key] = quantity.decimals if printed is None else printed
        decimals[f"{quantity.key}_two_std"] = decimals[quantity.key] if spread is None else spread
    return decimals


def _record(line: Line, job: TableJob, layout: Layout) -> dict[str, Any]:
    """One line as the frame's columns; what is absent stays None, an empty cell."""
    record: dict[str, Any] = {"source": _source(line), "protocol": _protocol_words(line, layout)}
    notes = list(line.notes)
    if line.measurement is not None:
        record |= _identity(line.measurement, job, layout)
        record |= {
            "name": line.measurement.name,
            "measured_protocol": _protocol_json(line.measurement, layout),
            "provenance": _provenance_json(line.measurement, job),
        }
    if line.published is not None:
        record |= {key: line.published[key] for key in layout.identity if line.published.get(key)}
        if layout.samples is not None:
            record["samples"] = str(layout.samples)
        if line.published.get("note"):
            notes.append(f"published: {line.published['note']}")
    missing = []
    for quantity in layout.quantities:
        cells = quantity_cells(line, quantity, layout)
        record |= cells.columns
        notes += cells.notes
        if cells.missing:
            missing.append(quantity.key)
    notes += missing_notes(job, layout, missing)
    return record | {"missing": "; ".join(missing) or None, "notes": NOTE_SEPARATOR.join(notes) or None}


def _source(line: Line) -> str:
    if line.published is None:
        return MEASURED
    if line.measurement is None:
        return PUBLISHED
    return COUNTED if line.measurement.kinds <= WITHOUT_TRAINING else BOTH


def _identity(measurement: Measurement, job: TableJob, layout: Layout) -> dict[str, Any]:
    identity = {key: measurement.traits.get(key) for key in layout.identity}
    identity["method"] = _method(measurement, job)
    if "samples" in layout.identity:
        identity["samples"] = ", ".join(map(str, counts_of(measurement, layout, "generation"))) or None
    return identity


def _method(measurement: Measurement, job: TableJob) -> str:
    """The row's label, or its method with what makes it a variant."""
    if measurement.label is not None:
        return measurement.label
    noise = measurement.traits.get("code_noise")
    words = [NOISE_WORDS.get(noise or "", "with noise" if noise and job.table == "table4" else "")]
    words.append(ADVERSARIAL_WORDS.get(measurement.traits.get("adversarial", ""), ""))
    told = ", ".join(word for word in words if word)
    method = measurement.traits.get("method", measurement.name)
    return f"{method} ({told})" if told else method


def _protocol_words(line: Line, layout: Layout) -> str:
    words = [AS_PUBLISHED] * (line.published is not None)
    if line.measurement is not None:
        words += _measured_words(line.measurement, layout)
    return "; ".join(words)


def _measured_words(measurement: Measurement, layout: Layout) -> list[str]:
    words = []
    for kind in sorted(measurement.kinds):
        if kind in TOLD_KINDS:
            words.append(TOLD_KINDS[kind])
        else:
            counts = " or ".join(map(str, counts_of(measurement, layout, kind)))
            words.append(f"measured on {counts or 'no'} {COUNTED_IMAGES[kind]}")
    return list(dict.fromkeys(words))


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
        told, trained = job.provenance, not measurement.kinds <= WITHOUT_TRAINING
        names = [measurement.name, *(f"{measurement.name}#{seed}" for seed in job.training_seeds[1:])] * trained
        made |= {
            "weights": [folder for name in names for folder in told.weights.get(name, [])],
            "data_sha256": told.data.get(measurement.traits.get("dataset", "")),
            "code": told.code,
            "seed": told.seed,
            "training_seeds": job.training_seeds,
        }
    return json.dumps(made, sort_keys=True)
