"""A built table as a person reads it: rounded cells under short headings."""

from math import floor, log10
from typing import Any

import pandas as pd

from pipeline.tables.build import PUBLISHED, Table
from pipeline.tables.columns import measured_column
from pipeline.tables.layout import HEADINGS
from pipeline.tables.quantities import Quantity

MISSING = "missing"
Headings = list[tuple[str, str]]


def rounded(value: float, decimals: int, significant: int = 0) -> str:
    """Fixed decimals, more where a number below 1 would keep fewer than `significant` digits."""
    if significant and 0 < abs(value) < 1:
        decimals = max(decimals, significant - 1 - floor(log10(abs(value))))
    text = f"{value:.{decimals}f}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")


def display(table: Table) -> pd.DataFrame:
    """Strings only, columns as (quantity, published | measured | difference); empty columns are left out."""
    frame = table.frame
    columns: dict[tuple[str, str], list[str]] = {("Source", ""): [str(cell) for cell in frame["source"]]}
    for key in table.layout.identity:
        columns[HEADINGS[key], ""] = [_text(cell) for cell in frame[key]]
    for quantity in table.layout.quantities:
        if is_shown(table, quantity):
            columns |= _quantity(table, quantity)
    columns["Protocol", ""] = [_text(cell) for cell in frame["protocol"]]
    shown = pd.DataFrame(columns, dtype=object)
    shown.columns = pd.MultiIndex.from_tuples(list(columns))
    return shown


def is_shown(table: Table, quantity: Quantity) -> bool:
    """A quantity that the paper has or that a row has; the footnotes say what else is missing."""
    measured = any(table.frame[measured_column(quantity, variant)].notna().any() for variant in quantity.measured)
    return quantity.published is not None or measured


def _text(cell: Any) -> str:
    return "" if cell is None or cell != cell else str(cell)


def _quantity(table: Table, quantity: Quantity) -> dict[tuple[str, str], list[str]]:
    frame, key = table.frame, quantity.key
    columns: dict[tuple[str, str], list[str]] = {}
    if quantity.published:
        columns[quantity.label, "published"] = [_published(row, quantity) for _, row in frame.iterrows()]
    if (frame["source"] != PUBLISHED).any():
        for variant in quantity.measured:
            heading = f"measured ({variant})" if variant else "measured"
            columns[quantity.label, heading] = [_measured(row, table, quantity, variant) for _, row in frame.iterrows()]
    if quantity.published and frame[f"{key}_difference"].notna().any():
        columns[quantity.label, "difference"] = [
            _number(cell, table.decimals[key]) for cell in frame[f"{key}_difference"]
        ]
    return columns


def _number(cell: Any, decimals: int, significant: int = 0) -> str:
    return "" if _text(cell) == "" else rounded(cell, decimals, significant)


def _published(row: "pd.Series[Any]", quantity: Quantity) -> str:
    """As printed, with ± where the paper prints it."""
    text = _text(row[f"{quantity.key}_published"])
    spread = _text(row[f"{quantity.key}_published_two_std"]) if quantity.two_std else ""
    return f"{text} ± {spread}" if spread else text


def _measured(row: "pd.Series[Any]", table: Table, quantity: Quantity, variant: str) -> str:
    if quantity.key in _text(row["missing"]).split("; "):
        return MISSING
    text = _number(row[measured_column(quantity, variant)], table.decimals[quantity.key], quantity.significant)
    return text + _uncertainty(row, table, quantity) if text else ""


def _uncertainty(row: "pd.Series[Any]", table: Table, quantity: Quantity) -> str:
    """± over seeds where a table has several, else ± over images; the interval of a single number."""
    key, decimals = quantity.key, table.decimals[quantity.key]
    if table.job.seeded and quantity.kind != "complexity":
        if (over_seeds := row[f"{key}_measured_seed_std"]) is not None:
            return f" ± {rounded(over_seeds, decimals, significant=1)}"
    elif quantity.two_std and (over_images := row[f"{key}_measured_two_std"]) is not None:
        return f" ± {rounded(over_images, table.decimals[f'{key}_two_std'])}"
    if quantity.has_interval and (low := row[f"{key}_measured_low"]) is not None:
        ends = (rounded(end, decimals, quantity.significant) for end in (low, row[f"{key}_measured_high"]))
        return f" [{', '.join(ends)}]"
    return ""
