"""Which measured row stands beside which published one, and what that puts into each line's cells."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pipeline.tables.layout import Layout
from pipeline.tables.measured import MeasuredValue, Measurement
from pipeline.tables.published import Row, fixed_protocol, fixed_traits, row_name
from pipeline.tables.quantities import Quantity

# Traits that make two rows different things, not the same thing measured otherwise.
IDENTITY_TRAITS = frozenset({"dataset", "method", "sample_kind"})
PAPER_LOSSES = (None, "wgan_gp")


@dataclass(frozen=True)
class Cell:
    """One quantity on one line."""

    published: str | None = None
    published_two_std: str | None = None
    values: dict[str, MeasuredValue] = field(default_factory=dict)
    """The measured values by variant, those that there are."""
    compared: MeasuredValue | None = None
    """The one of them that stands against the published number."""
    difference: float | None = None
    is_missing: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a table: a published row, a measured one, or both; a cell for each quantity, by its key."""

    published: Row | None
    measurement: Measurement | None
    cells: dict[str, Cell]
    notes: list[str]

    @property
    def missing(self) -> list[str]:
        """The keys of the quantities that should have been measured."""
        return [key for key, cell in self.cells.items() if cell.is_missing]


def pair(rows: list[Row], listed: list[Measurement], counted: list[Measurement], layout: Layout) -> list[Line]:
    """The published rows in their order, each with what matches it, then the other measured rows."""
    placed: dict[int, Measurement] = {}
    own: dict[str, Line] = {}
    # The paper's adversarial loss goes first, so that a variant of it never takes the published row's place.
    for measurement in sorted(listed, key=lambda m: m.traits.get("adversarial") not in PAPER_LOSSES):
        index = _matching(rows, placed, measurement, layout)
        if index is None:
            own[measurement.name] = _line(None, measurement, None, layout, _reasons(rows, measurement, layout))
        elif index in placed:
            note = f"compared with the published {row_name(rows[index])}"
            own[measurement.name] = _line(None, measurement, rows[index], layout, [note])
        else:
            placed[index] = measurement
    for measurement in [*listed, *counted]:
        if "complexity" in measurement.kinds:
            counts = measurement.counts()
            index = _matching(rows, placed, counts, layout)
            if index is not None:
                placed.setdefault(index, counts)
    lines = [_line(row, placed.get(index), row, layout, []) for index, row in enumerate(rows)]
    return lines + [own[measurement.name] for measurement in listed if measurement.name in own]


def _matching(rows: list[Row], placed: dict[int, Measurement], measurement: Measurement, layout: Layout) -> int | None:
    """The published row that a measurement matches: a free one, else a taken one, else None."""
    matching = [index for index, row in enumerate(rows) if not mismatches(row, measurement, layout)]
    return min(matching, key=lambda index: index in placed, default=None)


def mismatches(row: Row, measurement: Measurement, layout: Layout) -> dict[str, str]:
    """What differs between a published row and a measurement: trait -> `measured (published)`."""
    differing: dict[str, str] = {}
    if not measurement.kinds:
        return {"summaries": "none"}
    for kind in sorted(measurement.kinds):
        for trait, allowed in fixed_traits(row, kind).items():
            if (actual := measurement.traits.get(trait)) not in allowed:
                differing[trait] = (
                    f"{actual or 'unknown'} (published {' or '.join(str(one or 'none') for one in allowed)})"
                )
        first = next(quantity for quantity in layout.quantities if quantity.kind == kind)
        wanted = fixed_protocol(row, layout, first).get("count")
        counts = counts_of(measurement, layout, kind)
        if wanted is not None and wanted not in counts:
            differing["count"] = f"{', '.join(map(str, counts)) or 'unknown'} (published {wanted})"
    return differing


def counts_of(measurement: Measurement, layout: Layout, kind: str) -> list[int]:
    """The numbers of images behind a measurement's values of one kind; one, if all were measured alike."""
    keys = {key for quantity in layout.quantities if quantity.kind == kind for key in quantity.measured.values()}
    protocols = [value.protocol for key, value in measurement.values.items() if key in keys]
    return sorted({protocol["count"] for protocol in protocols if "count" in protocol})


def _reasons(rows: list[Row], measurement: Measurement, layout: Layout) -> list[str]:
    """Why a row on a published dataset has no difference: where it leaves the nearest published row."""
    found = [(row, mismatches(row, measurement, layout)) for row in rows]
    alike = [(row, differing) for row, differing in found if measurement.kinds and not IDENTITY_TRAITS & set(differing)]
    if not alike:
        return []
    row, differing = min(alike, key=lambda pair: len(pair[1]))
    told = ", ".join(f"{trait} {difference}" for trait, difference in differing.items())
    return [f"not compared with the published {row_name(row)}: {told}"]


def _line(
    published: Row | None, measurement: Measurement | None, compared: Row | None, layout: Layout, notes: list[str]
) -> Line:
    """The line of a published and a measured row; differences are taken from the numbers of `compared`.

    That is another line's row where several measured rows match one published row.
    """
    if published is not None and published.get("note"):
        notes = [*notes, f"published: {published['note']}"]
    cells = {}
    for quantity in layout.quantities:
        differing = list(_protocol_mismatches(compared, measurement, quantity, layout))
        cells[quantity.key] = _cell(published, measurement, None if differing else compared, quantity)
        if differing:
            notes = [*notes, f"{quantity.name}: no difference shown: {', '.join(differing)}"]
    return Line(published, measurement, cells, notes)


def _protocol_mismatches(
    row: Row | None, measurement: Measurement | None, quantity: Quantity, layout: Layout
) -> Iterator[str]:
    """What in a value's protocol keeps it from being subtracted from the number that the paper prints."""
    value = measurement.values.get(quantity.compared) if measurement else None
    if row is not None and value is not None and _printed(row, quantity):
        for key, wanted in fixed_protocol(row, layout, quantity).items():
            if (told := value.protocol.get(key, "unknown")) != wanted:
                yield f"{key} {told} (published {wanted or 'unknown'})"


def _cell(published: Row | None, measurement: Measurement | None, compared: Row | None, quantity: Quantity) -> Cell:
    """What a line says of one quantity; `compared` has the number that a difference is taken from."""
    told: dict[str, Any] = {
        "published": _printed(published, quantity),
        "published_two_std": _printed(published, quantity, "_pm"),
    }
    if measurement is None:
        return Cell(**told)
    found = {variant: measurement.values.get(key) for variant, key in quantity.measured.items()}
    values = {variant: value for variant, value in found.items() if value is not None}
    value = measurement.values.get(quantity.compared)
    difference = None
    if value is not None and (printed := _printed(compared, quantity)):
        # In decimal arithmetic, so that 0.11 - 0.12 is -0.01 and not -0.00999...
        difference = float(Decimal(repr(value.number)) - Decimal(printed))
    return Cell(**told, values=values, compared=value, difference=difference,
                is_missing=value is None and _is_expected(measurement, quantity))  # fmt: skip


def _printed(row: Row | None, quantity: Quantity, ending: str = "") -> str | None:
    """What the paper prints of a quantity in a row; of its ± with the ending `_pm`."""
    return (row.get(f"{quantity.key}{ending}") or None) if row is not None and quantity.is_published else None


def _is_expected(measurement: Measurement, quantity: Quantity) -> bool:
    """A reconstruction without its images' metrics is not yet made; one without LPIPS alone misses LPIPS.

    Counts come together, and so does what codes are measured by: one that is not there does not apply, such as
    the hash tables of a VQGAN.
    """
    if quantity.kind in ("complexity", "codes"):
        return False
    return quantity.kind in measurement.kinds or (quantity.kind == "generation" and not measurement.kinds)
