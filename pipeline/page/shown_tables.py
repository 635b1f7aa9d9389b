"""The paper's tables as the page shows them: the strings that `make_table` rounded, none of our own."""

import json
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from pathlib import Path

from pipeline.base.errors import InputError

WITHOUT_NUMBER = ("", "missing")

Heading = tuple[str, str]
"""A column: quantity, and published, measured or difference ("" where a column is no quantity's)."""


@dataclass(frozen=True)
class ShownTable:
    """A table's cells, its notes and its LaTeX."""

    name: str
    title: str
    columns: list[Heading]
    rows: list[list[str]]
    notes: list[str]
    latex: str
    seeded: bool
    """Whether ± is over training seeds, and not over images."""

    @cached_property
    def groups(self) -> list[tuple[str, list[str]]]:
        """Neighbouring columns of one quantity: its name, and the parts."""
        return [
            (name, [part for _, part in columns]) for name, columns in groupby(self.columns, key=lambda one: one[0])
        ]

    @property
    def missing(self) -> list[str]:
        """The notes that say what is missing and why."""
        return [note for note in self.notes if "missing" in note.partition(":")[0] or ": missing:" in note]

    @property
    def remarks(self) -> list[str]:
        """The other notes."""
        return [note for note in self.notes if note not in self.missing]

    def cell(self, row: list[str], name: str, part: str = "") -> str:
        """The cell of a row in this column; "" where the table has no such column."""
        return row[self.columns.index((name, part))] if (name, part) in self.columns else ""

    def measured_cells(self, row: list[str]) -> dict[str, str]:
        """Quantity -> measured cell, for what was measured in this row."""
        cells = zip(self.columns, row, strict=True)
        return {
            name: cell for (name, part), cell in cells if part.startswith("measured") and cell not in WITHOUT_NUMBER
        }

    def measured_rows(self) -> list[list[str]]:
        """Rows that have something that was measured (not counted) here."""
        return [row for row in self.rows if is_measured(self.cell(row, "Source"))]


def is_measured(source: str) -> bool:
    return "measured" in source


def read_table(name: str, path: Path, latex: Path) -> ShownTable:
    """The table that `make_table` wrote as json and as LaTeX."""
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        columns = [(str(first), str(second)) for first, second in told["columns"]]
        tex = latex.read_text(encoding="utf-8")
        return ShownTable(name, told["title"], columns, told["rows"], told["notes"], tex, bool(told["seeded"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"table {path}: not a table as make_table writes it ({error!r})") from None
