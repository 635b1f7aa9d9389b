"""A table as people read it, each number with its text: `table.json`, which the page and `bright document` read."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.base.errors import InputError

PARTS = ("measured", "difference", "published")
"""The second headings of the columns that belong to a quantity, in the order in which the page shows them."""


class DisplayCell(NamedTuple):
    """A cell: its text, and for a number the number itself, its spread as text and its interval."""

    text: str = ""
    number: float | None = None
    spread: str = ""  # such as `± 4.25` or `[551.2, 581.9]`
    interval: tuple[float, float] | None = None
    """Of the number: one standard deviation over training seeds, or the metric's own. A ± over images is none."""

    def __str__(self) -> str:
        return f"{self.text} {self.spread}".rstrip()


Heading = tuple[str, str]
"""A column: the quantity, and published, measured or difference; "" where a column belongs to no quantity."""
Columns = Mapping[Heading, Sequence[str | DisplayCell]]


@dataclass(frozen=True)
class DisplayTable:
    """A table in the order of its files."""

    title: str
    columns: list[Heading]
    rows: list[list[DisplayCell]]
    notes: list[str]
    entries: list[str | None]  # the config entry of each row, such as `autoencoders.main`; None for a published row
    look: str = ""  # what to compare, in one line
    seeded: bool = False  # whether ± is over training seeds, and not over images
    alignment: str = ""  # LaTeX's: words to the left, numbers to the right

    def as_json(self) -> dict[str, Any]:
        """The content of `table.json`: a cell of words is a string, a number an object with its text."""
        fields = ("title", "look", "columns", "entries", "notes", "seeded")
        rows = [[cell.text if cell.number is None else cell._asdict() for cell in row] for row in self.rows]
        return {field: getattr(self, field) for field in fields} | {"rows": rows}

    @cached_property
    def _places(self) -> dict[Heading, int]:
        return {heading: place for place, heading in enumerate(self.columns)}

    @property
    def quantities(self) -> list[str]:
        """The first headings of the columns, each once."""
        return list(dict.fromkeys(name for name, _ in self.columns))

    def cell(self, row: list[DisplayCell], name: str, part: str = "") -> DisplayCell:
        """The cell of a row in a column; an empty one where the table has no such column."""
        place = self._places.get((name, part))
        return DisplayCell() if place is None else row[place]

    def measured_cells(self, row: list[DisplayCell]) -> dict[str, DisplayCell]:
        """Quantity -> measured number of a row, for those that it has."""
        cells = zip(self.columns, row, strict=True)
        return {name: cell for (name, part), cell in cells if part.startswith("measured") and cell.number is not None}

    def is_measured(self, row: list[DisplayCell]) -> bool:
        """Whether a row has measured values."""
        return "measured" in self.cell(row, "Source").text

    def measured_rows(self) -> list[list[DisplayCell]]:
        """The rows that have measured values."""
        return [row for row in self.rows if self.is_measured(row)]


def display_table(
    title: str, columns: Columns, notes: list[str], entries: list[str | None], **rest: Any
) -> DisplayTable:
    """A table from its columns, in which words are plain strings; every text is one line."""
    cells = [[cell if isinstance(cell, DisplayCell) else DisplayCell(one_line(cell)) for cell in column]
             for column in columns.values()]  # fmt: skip
    rows = [list(row) for row in zip(*cells, strict=True)]
    return DisplayTable(one_line(title), list(columns), rows, list(map(one_line, notes)), entries, **rest)


def one_line(text: str) -> str:
    """A text without line breaks and unprintable characters, which names and notes of a config may have."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def read_display(path: Path) -> DisplayTable:
    """The table in a `table.json`."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [
            [DisplayCell(cell) if isinstance(cell, str) else DisplayCell(**cell) for cell in row]
            for row in found.pop("rows")
        ]
        columns = [(str(name), str(part)) for name, part in found.pop("columns")]
        return DisplayTable(rows=rows, columns=columns, **found)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"table {path}: not a table as make_table writes it ({error!r})") from None
