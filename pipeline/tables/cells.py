"""The cells of one quantity on one line, and why some of them are empty."""

from decimal import Decimal
from typing import Any, NamedTuple

from pipeline.tables.columns import measured_column
from pipeline.tables.job import TableJob
from pipeline.tables.layout import Layout
from pipeline.tables.measured import Measurement, Value
from pipeline.tables.pairing import Line, protocol_mismatches
from pipeline.tables.quantities import Quantity

NOT_GIVEN = "missing: no summary"


class Cells(NamedTuple):
    """Columns of the frame, notes on them, and whether a measurement is missing."""

    columns: dict[str, Any]
    notes: tuple[str, ...] = ()
    missing: bool = False


def quantity_cells(line: Line, quantity: Quantity, layout: Layout) -> Cells:
    """What a line says of one quantity: as published, as measured, and the difference between equals."""
    columns = _published(line, quantity)
    if line.measurement is None:
        return Cells(columns)
    for variant, key in quantity.measured.items():
        if (value := line.measurement.values.get(key)) is not None:
            columns[measured_column(quantity, variant)] = value.number
    compared = line.measurement.values.get(quantity.compared)
    if compared is None:
        return Cells(columns, missing=_is_expected(line.measurement, quantity))
    columns |= _spreads(quantity.key, compared)
    printed = (line.compared or {}).get(quantity.published or "")
    if line.compared is None or not printed:
        return Cells(columns)
    if differing := protocol_mismatches(line.compared, layout, quantity, compared.protocol):
        return Cells(columns, (f"{quantity.name}: no difference shown: {', '.join(differing)}",))
    # In decimal arithmetic, so that 0.11 - 0.12 is -0.01 and not -0.00999...
    columns[f"{quantity.key}_difference"] = float(Decimal(repr(compared.number)) - Decimal(printed))
    return Cells(columns)


def _published(line: Line, quantity: Quantity) -> dict[str, Any]:
    column = quantity.published
    if line.published is None or column is None:
        return {}
    cells = {f"{quantity.key}_published": line.published.get(column) or None}
    if quantity.two_std:
        cells[f"{quantity.key}_published_two_std"] = line.published.get(f"{column}_pm") or None
    return cells


def _spreads(key: str, value: Value) -> dict[str, Any]:
    """Deviations and interval; the frame keeps those that it has a column for."""
    cells: dict[str, Any] = {f"{key}_measured_seed_std": value.seed_std, f"{key}_measured_seeds": value.seeds}
    if value.std is not None:
        cells |= {f"{key}_measured_std": value.std, f"{key}_measured_two_std": 2 * value.std}
    if value.interval is not None:
        cells[f"{key}_measured_low"], cells[f"{key}_measured_high"] = value.interval
    return cells


def _is_expected(measurement: Measurement, quantity: Quantity) -> bool:
    """A reconstruction without its images' metrics is not yet made; one without LPIPS alone misses LPIPS.

    Counts come together, and so does what codes are measured by: one that is not there does not apply, such as
    the hash tables of a VQGAN.
    """
    if quantity.kind in ("complexity", "codes"):
        return False
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
