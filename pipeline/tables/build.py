"""A table as one wide pandas frame: published strings as printed, measured numbers in full precision."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.tables.job import TableJob
from pipeline.tables.layout import LAYOUTS, Layout
from pipeline.tables.measured import Measurement, NamedSummary, gather
from pipeline.tables.pairing import Line, counts_of, pair, protocol_mismatches
from pipeline.tables.protocols import one_protocol
from pipeline.tables.published import AS_PUBLISHED, column_decimals, read_published
from pipeline.tables.quantities import Quantity

PUBLISHED, MEASURED, BOTH = "published", "measured", "published and measured"
COUNTED = "published, counts computed"  # nothing was trained: parameters and GFLOPs follow from the config
NOTE_SEPARATOR = " | "
NOT_GIVEN = "missing: no summary"

NOISE_WORDS = {"none": "without noise", "before_tiling": "noise before tiling"}
ADVERSARIAL_WORDS = {"none": "without adversarial loss", "logistic_r1": "logistic adversarial loss"}


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
    listed, unlisted = gather(summaries, job.rows, layout.kinds)
    protocols = {
        quantity.key: one_protocol(quantity.label, quantity.compared, listed)
        for quantity in layout.quantities
        if quantity.kind != "complexity"
    }
    rows = [{str(key): value for key, value in row.items()} for row in published.to_dict("records")]
    lines = pair(rows, listed, unlisted, layout)
    records = [_record(line, job, layout) for line in lines]
    columns = frame_columns(layout)
    frame = pd.DataFrame([[record.get(c) for c in columns] for record in records], columns=columns, dtype=object)
    return Table(job, layout, frame, _decimals(published, layout), protocols)


def _decimals(published: pd.DataFrame, layout: Layout) -> dict[str, int]:
    """As many as the paper prints in the column; the quantity's own number where it prints none."""
    decimals = {}
    for quantity in layout.quantities:
        printed = column_decimals(published, quantity.published)
        spread = column_decimals(published, f"{quantity.published}_pm")
        decimals[quantity.key] = quantity.decimals if printed is None else printed
        decimals[f"{quantity.key}_two_std"] = decimals[quantity.key] if spread is None else spread
    return decimals


def measured_column(quantity: Quantity, variant: str) -> str:
    """Such as `lpips_measured`, `decoder_gflops_measured_paper_rule`."""
    return f"{quantity.key}_measured" + (f"_{variant.replace(' ', '_')}" if variant else "")


def quantity_columns(quantity: Quantity) -> list[str]:
    """The frame's columns of one quantity; `two_std` is what stands behind ±."""
    columns = []
    if quantity.published:
        columns.append(f"{quantity.key}_published")
        columns += [f"{quantity.key}_published_two_std"] * quantity.two_std
    columns += [measured_column(quantity, variant) for variant in quantity.measured]
    columns += [f"{quantity.key}_measured_std"] * quantity.has_std
    columns += [f"{quantity.key}_measured_two_std"] * quantity.two_std
    if quantity.published:
        columns.append(f"{quantity.key}_difference")
    return columns


def frame_columns(layout: Layout) -> list[str]:
    """All columns of a table's csv, in order."""
    of_quantities = [column for quantity in layout.quantities for column in quantity_columns(quantity)]
    return [
        "source",
        *layout.identity,
        "name",
        *of_quantities,
        "missing",
        "protocol",
        "measured_protocol",
        "notes",
    ]


def _record(line: Line, job: TableJob, layout: Layout) -> dict[str, Any]:
    """One line as the frame's columns; what is absent stays None, an empty cell."""
    record: dict[str, Any] = {"source": _source(line), "protocol": _protocol_words(line, layout)}
    notes = list(line.notes)
    if line.measurement is not None:
        record |= _identity(line.measurement, job, layout)
        record |= {
            "name": line.measurement.name,
            "measured_protocol": _protocol_json(line.measurement, layout),
        }
    if line.published is not None:
        record |= {key: line.published[key] for key in layout.identity if line.published.get(key)}
        if layout.samples is not None:
            record["samples"] = str(layout.samples)
        if line.published.get("note"):
            notes.append(f"published: {line.published['note']}")
    missing = []
    for quantity in layout.quantities:
        cells, quantity_notes, is_missing = _quantity_cells(line, quantity, layout)
        record |= cells
        notes += quantity_notes
        if is_missing:
            missing.append(quantity.key)
    notes += missing_notes(job, layout, missing)
    return record | {"missing": "; ".join(missing) or None, "notes": NOTE_SEPARATOR.join(notes) or None}


def _source(line: Line) -> str:
    if line.published is None:
        return MEASURED
    if line.measurement is None:
        return PUBLISHED
    return COUNTED if line.measurement.kinds == {"complexity"} else BOTH


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


def _quantity_cells(line: Line, quantity: Quantity, layout: Layout) -> tuple[dict[str, Any], list[str], bool]:
    """The cells of one quantity on one line, notes on them, and whether a measurement is missing."""
    cells: dict[str, Any] = {}
    column = quantity.published
    if line.published is not None and column is not None:
        cells[f"{quantity.key}_published"] = line.published.get(column) or None
        if quantity.two_std:
            cells[f"{quantity.key}_published_two_std"] = line.published.get(f"{column}_pm") or None
    if line.measurement is None:
        return cells, [], False
    for variant, key in quantity.measured.items():
        if (value := line.measurement.values.get(key)) is not None:
            cells[measured_column(quantity, variant)] = value.number
            if quantity.has_std and value.std is not None:
                cells[f"{quantity.key}_measured_std"] = value.std
            if quantity.two_std and value.std is not None:
                cells[f"{quantity.key}_measured_two_std"] = 2 * value.std
    compared = line.measurement.values.get(quantity.compared)
    if compared is None:
        return cells, [], _is_expected(line.measurement, quantity)
    printed = (line.compared or {}).get(column or "")
    if line.compared is None or not printed:
        return cells, [], False
    if differing := protocol_mismatches(line.compared, layout, quantity, compared.protocol):
        return cells, [f"{quantity.name}: no difference shown: {', '.join(differing)}"], False
    # In decimal arithmetic, so that 0.11 - 0.12 is -0.01 and not -0.00999...
    cells[f"{quantity.key}_difference"] = float(Decimal(repr(compared.number)) - Decimal(printed))
    return cells, [], False


def _is_expected(measurement: Measurement, quantity: Quantity) -> bool:
    """A reconstruction without its images' metrics is not yet made; one without LPIPS alone misses LPIPS."""
    return quantity.kind in measurement.kinds or (quantity.kind == "generation" and not measurement.kinds)


def missing_notes(job: TableJob, layout: Layout, missing: list[str]) -> list[str]:
    """The job's notes on the missing quantities, and lines of our own on those that no note names."""
    notes: list[str] = []
    unexplained: dict[str | None, list[str]] = {}
    for quantity in layout.quantities:
        if quantity.key not in missing:
            continue
        if of_plan := [note for note in job.missing if _speaks_of(note, quantity)]:
            notes += of_plan
        else:
            unexplained.setdefault(quantity.network, []).append(quantity.name)
    for network, names in unexplained.items():
        made = f"made with the network {network}" if network else "that has it"
        notes.append(f"{', '.join(names)}: {NOT_GIVEN} {made} was given")
    return list(dict.fromkeys(notes))


def _speaks_of(note: str, quantity: Quantity) -> bool:
    names = [name.strip().lower() for name in note.partition(":")[0].split(",")]
    network_named = quantity.network is not None and f"network {quantity.network} " in note
    return quantity.name.lower() in names or network_named


def _protocol_words(line: Line, layout: Layout) -> str:
    words = [AS_PUBLISHED] * (line.published is not None)
    if line.measurement is not None:
        words += _measured_words(line.measurement, layout)
    return "; ".join(words)


def _measured_words(measurement: Measurement, layout: Layout) -> list[str]:
    nouns = {"reconstruction": "validation images", "generation": "samples"}
    words = []
    for kind in sorted(measurement.kinds):
        if kind == "complexity":
            words.append("counted from the config")
        else:
            counts = " or ".join(map(str, counts_of(measurement, layout, kind)))
            words.append(f"measured on {counts or 'no'} {nouns[kind]}")
    return words


def _protocol_json(measurement: Measurement, layout: Layout) -> str | None:
    """The whole protocol of each value, for machines."""
    protocols = {
        quantity.key: measurement.values[quantity.compared].protocol
        for quantity in layout.quantities
        if quantity.compared in measurement.values and measurement.values[quantity.compared].protocol
    }
    return json.dumps(protocols, sort_keys=True) if protocols else None
