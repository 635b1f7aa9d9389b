"""A built table as a person reads it: rounded cells under short headings."""

from math import floor, log10
from typing import Any, NamedTuple

import pandas as pd

from pipeline.tables.build import PUBLISHED, Table, identity, protocol_words, source
from pipeline.tables.layout import HEADINGS
from pipeline.tables.pairing import Cell
from pipeline.tables.quantities import Quantity

MISSING = "missing"
Columns = dict[tuple[str, str], list[str]]


class Shown(NamedTuple):
    """A table as people read it: title, cells as strings under headings of two parts, notes, LaTeX's alignment."""

    title: str
    cells: pd.DataFrame
    notes: list[str]
    alignment: str
    look: str
    """What to look at, in one line."""
    entries: list[str | None]
    """The entry of the config that each row comes from, as `autoencoders.main`; None where it is of the paper alone."""


def rounded(value: float, decimals: int, significant: int = 0) -> str:
    """Fixed decimals, more where a number below 1 would keep fewer than `significant` digits."""
    if significant and 0 < abs(value) < 1:
        decimals = max(decimals, significant - 1 - floor(log10(abs(value))))
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def cell_text(cell: Any) -> str:
    """A cell of a frame; what is absent is empty."""
    return "" if cell is None or cell != cell else str(cell)


def display(table: Table) -> pd.DataFrame:
    """Strings only, columns as (quantity, published | measured | difference); empty columns are left out."""
    columns: Columns = {("Source", ""): [source(line) for line in table.lines]}
    identities = [identity(line, table) for line in table.lines]
    for key in table.layout.identity:
        if any(cells := [cell_text(told[key]) for told in identities]):
            columns[HEADINGS[key], ""] = cells
    for quantity in table.layout.quantities:
        if is_shown(table, quantity):
            columns |= _quantity(table, quantity)
    columns["Protocol", ""] = [protocol_words(line, table.layout) for line in table.lines]
    return under_headings(columns)


def under_headings(columns: Columns) -> pd.DataFrame:
    """Columns of strings under headings of two parts."""
    cells = pd.DataFrame(columns, dtype=object)
    cells.columns = pd.MultiIndex.from_tuples(list(columns))
    return cells


def cells_of(table: Table, quantity: Quantity) -> list[Cell]:
    """A quantity's cells, line by line."""
    return [line.cells[quantity.key] for line in table.lines]


def is_shown(table: Table, quantity: Quantity) -> bool:
    """A quantity that the paper has or that a row has; the footnotes say what else is missing."""
    return quantity.is_published or any(cell.values for cell in cells_of(table, quantity))


def _quantity(table: Table, quantity: Quantity) -> Columns:
    cells, columns = cells_of(table, quantity), {}
    if quantity.is_published:
        columns[quantity.label, "published"] = [
            " ± ".join(filter(None, (cell.published, cell.published_two_std))) for cell in cells
        ]
    if any(source(line) != PUBLISHED for line in table.lines):
        for variant in quantity.measured:
            heading = f"measured ({variant})" if variant else "measured"
            columns[quantity.label, heading] = [_measured(cell, table, quantity, variant) for cell in cells]
    if any(cell.difference is not None for cell in cells):
        decimals, _ = table.decimals[quantity.key]
        columns[quantity.label, "difference"] = [
            "" if cell.difference is None else rounded(cell.difference, decimals) for cell in cells
        ]
    return columns


def _measured(cell: Cell, table: Table, quantity: Quantity, variant: str) -> str:
    if cell.is_missing:
        return MISSING
    if variant not in cell.values:
        return ""
    number = rounded(cell.values[variant].number, table.decimals[quantity.key][0], quantity.significant)
    return number + _uncertainty(cell, table, quantity)


def _uncertainty(cell: Cell, table: Table, quantity: Quantity) -> str:
    """± over seeds where a table has several, else ± over images; the interval of a single number."""
    (decimals, of_spread), value = table.decimals[quantity.key], cell.compared
    if value is None:
        return ""
    if table.seeded and quantity.has_seeds:
        if value.seed_std is not None:
            return f" ± {rounded(value.seed_std, decimals, significant=1)}"
    elif quantity.two_std and value.std is not None:
        return f" ± {rounded(2 * value.std, of_spread)}"
    if quantity.has_interval and value.interval is not None:
        return f" [{', '.join(rounded(end, decimals, quantity.significant) for end in value.interval)}]"
    return ""
