"""A table as the page shows it: measured numbers beside the row's name, then differences and published numbers."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from pipeline.base.errors import InputError
from pipeline.tables.display_table import PARTS, DisplayCell, DisplayTable, read_display

SUBJECTS = ("Method", "Autoencoder")  # the column that names a row, and stays in view
LAST = ("Source", "Protocol")  # columns that explain a row, behind its numbers
WITHOUT_HEADING = ("Dataset", "Code size")  # columns whose cells are clear without a heading
BLOCKS = dict(zip(PARTS, ("Measured here", "Measured − published", "Published in the paper"), strict=True))
"""The columns of one part of all quantities stand side by side, in this order."""


class Block(NamedTuple):
    """Neighbouring columns under one heading; a column without a heading is a block of its own."""

    heading: str
    columns: dict[int, str]  # place of a column in the file -> its heading

    @property
    def is_alone(self) -> bool:
        """Whether it is a column of words about the row."""
        return not self.heading


@dataclass(frozen=True)
class PageTable(DisplayTable):
    """A displayed table with its name, its LaTeX, and the arrangement of its columns on the page."""

    name: str = ""
    latex: str = ""

    @cached_property
    def subject(self) -> int:
        """The place of the column that names a row."""
        return next((place for place, (name, _) in enumerate(self.columns) if name in SUBJECTS), 0)

    @cached_property
    def identity(self) -> list[int]:
        """The columns that identify a row together with the subject; the page shows them below its name."""
        words = [place for place, (name, part) in enumerate(self.columns) if not part and name not in LAST]
        return [place for place in words if place != self.subject] if self.has_numbers else []

    def is_number(self, place: int) -> bool:
        """Whether a column's cells are numbers of a quantity."""
        return self.columns[place][1].partition(" ")[0] in BLOCKS

    @cached_property
    def has_numbers(self) -> bool:
        """Whether there are columns of quantities; the table of claims and those of studies have none."""
        return any(map(self.is_number, range(len(self.columns))))

    def named(self, row: list[DisplayCell]) -> str:
        """The identity of a row below its subject, such as "clothes, 8x8x4, C_key 2"."""
        words = ((self.columns[place][0], row[place].text) for place in self.identity if row[place].text)
        return ", ".join(text if name in WITHOUT_HEADING else f"{name} {text}" for name, text in words)

    @cached_property
    def blocks(self) -> list[Block]:
        """The columns in the page's order: the row's name, measured numbers, differences, published ones, the rest."""
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
    def missing(self) -> list[str]:
        """The notes on missing metrics."""
        return [note for note in self.notes if "missing" in note.partition(":")[0] or ": missing:" in note]

    @property
    def remarks(self) -> list[str]:
        """The other notes."""
        return [note for note in self.notes if note not in self.missing]


def read_table(name: str, path: Path, latex: Path) -> PageTable:
    """The table that `make_table` wrote as json and as LaTeX."""
    try:
        text = latex.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"table {latex}: not a readable LaTeX file ({error})") from None
    return PageTable(**vars(read_display(path)), name=name, latex=text)
