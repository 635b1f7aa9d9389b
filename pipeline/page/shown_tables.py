"""The paper's tables as the page shows them: the strings that `make_table` rounded, none of our own."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import InputError

WITHOUT_NUMBER = ("", "missing")

SUBJECTS = ("Method", "Autoencoder")
"""The column that names a row, and stays in sight."""
LAST = ("Source", "Protocol")
"""Columns that explain a row, read after its numbers."""
UNDERSTOOD = ("Dataset", "Code size")
"""Columns whose cells need no heading."""
BLOCKS = {"measured": "Measured here", "difference": "Measured − published", "published": "Published in the paper"}
"""What is shown side by side, in this order: the columns of one part of all quantities."""

Heading = tuple[str, str]
"""A column: quantity, and published, measured or difference ("" where a column is no quantity's)."""


class Block(NamedTuple):
    """Neighbouring columns under one heading; a column without one is a block of its own."""

    heading: str
    columns: dict[int, str]
    """Place in the file's rows -> heading of the column."""

    @property
    def is_alone(self) -> bool:
        """Whether it is a column of words about the row."""
        return not self.heading


@dataclass(frozen=True)
class ShownTable:
    """A table's cells in the order of its file (`blocks` is the one in which they are shown), its notes and LaTeX."""

    name: str
    title: str
    columns: list[Heading]
    rows: list[list[str]]
    notes: list[str]
    latex: str
    seeded: bool
    """Whether ± is over training seeds, and not over images."""
    look: str
    """What to look at, in one line."""
    entries: list[str | None]
    """The entry of the config that each row comes from, as `autoencoders.main`."""

    @property
    def quantities(self) -> list[str]:
        """The names of the columns, once each."""
        return list(dict.fromkeys(name for name, _ in self.columns))

    @cached_property
    def subject(self) -> int:
        """The place of the column that names a row."""
        return next((place for place, (name, _) in enumerate(self.columns) if name in SUBJECTS), 0)

    @cached_property
    def identity(self) -> list[int]:
        """The columns that say with the subject what a row is; they stand below its name."""
        words = [place for place, (name, part) in enumerate(self.columns) if not part and name not in LAST]
        return [place for place in words if place != self.subject] if self.has_numbers else []

    @cached_property
    def has_numbers(self) -> bool:
        """Whether there are measured or published columns, which the words about a row give way to."""
        return any(map(self.is_number, range(len(self.columns))))

    def named(self, row: list[str]) -> str:
        """What a row is beside its subject, such as "clothes, 8x8x4, C_key 2"."""
        told = ((self.columns[place][0], row[place]) for place in self.identity if row[place])
        return ", ".join(cell if name in UNDERSTOOD else f"{name} {cell}" for name, cell in told)

    @cached_property
    def blocks(self) -> list[Block]:
        """The columns as they are shown: what names a row, measured numbers, differences, published ones, the rest.

        So the measured numbers are in sight beside the row's name, however many quantities the table has.
        """
        parts: dict[str, dict[int, str]] = {heading: {} for heading in BLOCKS.values()}
        alone = []
        for place, (name, part) in enumerate(self.columns):
            kind, _, variant = part.partition(" ")
            if self.is_number(place):
                parts[BLOCKS[kind]][place] = f"{name} {variant}".rstrip()
            elif part:
                parts.setdefault(name, {})[place] = part
            elif place != self.subject and place not in self.identity:
                alone.append(Block("", {place: name}))
        numbers = [Block(heading, columns) for heading, columns in parts.items() if columns]
        first = Block("", {self.subject: self.columns[self.subject][0]})
        return [first, *numbers, *alone] if self.has_numbers else [first, *alone, *numbers]

    @property
    def shown_rows(self) -> list[tuple[list[str], str | None]]:
        """The rows with the config's entry of each."""
        return list(zip(self.rows, self.entries, strict=True))

    def is_number(self, place: int) -> bool:
        """Whether a column's cells are a quantity's."""
        return self.columns[place][1].partition(" ")[0] in BLOCKS

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
        rows = told["rows"]
        # What an accepted result of an earlier release has not: then nothing is said of it.
        look, entries = told.get("look", ""), told.get("entries", [None] * len(rows))
        return ShownTable(name, told["title"], columns, rows, told["notes"], tex, bool(told["seeded"]), look, entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"table {path}: not a table as make_table writes it ({error!r})") from None
