"""From a built table to the table that people read: rounded cells under short headings."""

from collections.abc import Sequence
from math import floor, log10
from typing import Any

from pipeline.settings.quantities import Quantity
from pipeline.settings.tables import HEADINGS
from pipeline.tables.build import BOTH, MEASURED, PUBLISHED, BuiltTable, identity, protocol_words, source
from pipeline.tables.display_table import DisplayCell, DisplayTable, Heading, display_table
from pipeline.tables.footnotes import footnotes, is_shown
from pipeline.tables.pairing import Cell

MISSING = "missing"
COLUMNS_NAMED = 3  # columns alike in direction are named up to this number, then counted
BETTER = {"↓": "lower is better in", "↑": "higher is better in"}
CHEAPER = "less is cheaper in"


def rounded(value: float, decimals: int, significant: int = 0) -> str:
    """Fixed decimals, more where a number below 1 would keep fewer than `significant` digits."""
    if significant and 0 < abs(value) < 1:
        decimals = max(decimals, significant - 1 - floor(log10(abs(value))))
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def cell_text(cell: Any) -> str:
    """A cell of a pandas frame; an absent one is empty."""
    return "" if cell is None or cell != cell else str(cell)


def display(table: BuiltTable) -> DisplayTable:
    """A built table as people read it; empty columns are left out."""
    identities = [identity(line, table) for line in table.lines]
    columns: dict[Heading, Sequence[str | DisplayCell]] = {("Source", ""): [source(line) for line in table.lines]}
    for key in table.entry.identity:
        if any(cells := [cell_text(found[key]) for found in identities]):
            columns[HEADINGS[key], ""] = cells
    for quantity in table.entry.quantities:
        if is_shown(table, quantity):
            columns |= _quantity(table, quantity)
    columns["Protocol", ""] = [protocol_words(line, table.entry) for line in table.lines]
    measured = [line for line in table.lines if source(line) in (MEASURED, BOTH)]
    datasets = list(dict.fromkeys(str(identity(line, table)["dataset"]) for line in measured))
    measured_on = f"measured on {', '.join(datasets)}" if datasets else "published rows alone"
    section = "samples" if table.entry.of_samples else "autoencoders"
    words = len(table.entry.identity) + 1
    return display_table(
        f"{table.entry.title} ({measured_on})",
        columns,
        footnotes(table),
        [f"{section}.{line.measurement.name}" if line.measurement else None for line in table.lines],
        look=look(table),
        seeded=table.seeded,
        alignment="l" * words + "r" * (len(columns) - words - 1) + "l",
    )


def _quantity(table: BuiltTable, quantity: Quantity) -> dict[Heading, list[DisplayCell]]:
    """The columns of one quantity."""
    cells = [line.cells[quantity.key] for line in table.lines]
    decimals, _ = table.decimals[quantity.key]
    columns = {}
    if quantity.is_published:
        columns[quantity.label, "published"] = [
            DisplayCell(
                cell.published, float(cell.published), f"± {cell.published_two_std}" if cell.published_two_std else ""
            )
            if cell.published is not None
            else DisplayCell()
            for cell in cells
        ]
    if any(source(line) != PUBLISHED for line in table.lines):
        for variant in quantity.measured:
            heading = f"measured ({variant})" if variant else "measured"
            columns[quantity.label, heading] = [_measured(cell, table, quantity, variant) for cell in cells]
    differences = [cell.difference for cell in cells]
    if any(difference is not None for difference in differences):
        columns[quantity.label, "difference"] = [
            DisplayCell() if difference is None else DisplayCell(rounded(difference, decimals), difference)
            for difference in differences
        ]
    return columns


def _measured(cell: Cell, table: BuiltTable, quantity: Quantity, variant: str) -> DisplayCell:
    """A measured number with its uncertainty: ± over training seeds or over images, or the metric's own interval."""
    if cell.is_missing or variant not in cell.values:
        return DisplayCell(MISSING if cell.is_missing else "")
    (decimals, of_spread), number = table.decimals[quantity.key], cell.values[variant].number
    text = rounded(number, decimals, quantity.significant)
    value = cell.compared
    if value is None:
        return DisplayCell(text, number)
    if table.seeded and quantity.has_seeds and value.seed_std is not None:
        interval = (number - value.seed_std, number + value.seed_std)
        return DisplayCell(text, number, f"± {rounded(value.seed_std, decimals, significant=1)}", interval)
    if quantity.two_std and value.std is not None and not table.seeded:
        return DisplayCell(text, number, f"± {rounded(2 * value.std, of_spread)}")
    if quantity.has_interval and value.interval is not None:
        ends = ", ".join(rounded(end, decimals, quantity.significant) for end in value.interval)
        return DisplayCell(text, number, f"[{ends}]", value.interval)
    return DisplayCell(text, number)


def look(table: BuiltTable) -> str:
    """What to compare in which columns, in one line: from the directions of the quantities and the differing rows."""
    columns: dict[str, list[str]] = {}
    for quantity in table.entry.quantities:
        # Which way is better, by the arrow of the label; counts without one are costs.
        direction = BETTER.get(quantity.label[-1], CHEAPER if quantity.kind == "complexity" else "")
        if direction and is_shown(table, quantity):
            columns.setdefault(direction, []).append(quantity.name)
    ordered = [words for words in (*BETTER.values(), CHEAPER) if words in columns]
    directions = "; ".join(f"{words} {_listed(columns[words])}" for words in ordered)
    rows = [identity(line, table) for line in table.lines]
    keys = [key for key in table.entry.identity if len({row[key] for row in rows}) > 1 and key != "dataset"]
    by = _listed([HEADINGS[key] for key in keys or ["method"]])
    return f"Rows of one dataset, by {by}{': ' if directions else ''}{directions}."


def _listed(names: list[str]) -> str:
    if len(names) > COLUMNS_NAMED:
        names = [*names[:COLUMNS_NAMED], f"{len(names) - COLUMNS_NAMED} more"]
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])
