"""A table as people read it, each number with its text: `table.json`, which the page and `tools/document.py` read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, TypeAdapter

from bright_pipeline.base.errors import readable

SUBJECTS = ("Method", "Autoencoder", "It says")  # the column that names a row, and stays in view
LAST = ("Source", "Protocol")  # columns that explain a row, behind its numbers
NUMBERS = ("measured", "difference", "published")  # how the second headings of quantities begin
VERDICT_HERE = ("Verdict", "this run")  # the column of claims on this run's numbers
NOT_MEASURED = "not measured here"
LONGEST = 250  # characters of a generated sentence


class DisplayCell(NamedTuple):
    """A cell: its text, and for a number the number itself, its spread as text and its interval."""

    text: str = ""
    number: float | None = None
    spread: str = ""  # such as `± 4.25` or `[551.2, 581.9]`
    interval: tuple[float, float] | None = None  # 95 %: the metric's own, or of the mean over images
    seeds: tuple[float, ...] = ()  # the numbers of the training seeds that the number is the mean of

    def __str__(self) -> str:
        return f"{self.text} {self.spread}".rstrip()


JsonCell = Annotated[
    DisplayCell,
    PlainSerializer(lambda cell: cell.text if cell.number is None else cell._asdict()),
    BeforeValidator(lambda given: {"text": given} if isinstance(given, str) else given),
]
"""In `table.json` a cell of words is a string, a number an object with its text."""
Heading = tuple[str, str]
"""A column: the quantity, and published, measured or difference; "" where a column belongs to no quantity."""
Columns = Mapping[Heading, Sequence[str | DisplayCell]]


@dataclass(frozen=True)
class DisplayTable:
    """A table in the order of its files, and the arrangement of its columns on the page."""

    title: str
    columns: list[Heading]
    rows: list[list[JsonCell]]
    notes: list[str]
    entries: list[str | None]  # the config entry of each row, such as `autoencoders.main`; None for a published row
    hint: str = ""  # which columns and rows to compare
    seeded: bool = False  # whether ± is over training seeds, and not over images
    unmeasured: list[str] = field(default_factory=list)  # quantities that rows should have, but no row has
    changes: list[str] = field(default_factory=list)  # the config keys that each row changes, also under a label
    alignment: str = ""  # LaTeX's: words to the left, numbers to the right
    name: str = ""  # in the config
    latex: str = ""

    def cell(self, row: list[DisplayCell], name: str, part: str = "") -> DisplayCell:
        """The cell of a row in a column; an empty one where the table has no such column."""
        return dict(zip(self.columns, row, strict=True)).get((name, part), DisplayCell())

    def measured_cells(self, row: list[DisplayCell]) -> dict[str, DisplayCell]:
        """Quantity -> measured number of a row, for those that it has."""
        cells = zip(self.columns, row, strict=True)
        return {name: cell for (name, part), cell in cells if part.startswith("measured") and cell.number is not None}

    def is_measured(self, row: list[DisplayCell]) -> bool:
        return "measured" in self.cell(row, "Source").text

    def measured_rows(self) -> list[list[DisplayCell]]:
        return [row for row in self.rows if self.is_measured(row)]

    @cached_property
    def subject(self) -> int:
        """The index of the column that names a row."""
        return next((index for index, (name, _) in enumerate(self.columns) if name in SUBJECTS), 0)

    @cached_property
    def identity(self) -> list[int]:
        """The columns that identify a row together with the subject; the page shows them below its name."""
        words = [index for index, (name, part) in enumerate(self.columns) if not part and name not in LAST]
        return [index for index in words if index != self.subject] if self.has_numbers else []

    def is_number(self, index: int) -> bool:
        """Whether a column's cells are numbers of a quantity."""
        return self.columns[index][1].partition(" ")[0] in NUMBERS

    @cached_property
    def has_numbers(self) -> bool:
        """Whether there are columns of quantities; the table of claims and those of studies have none."""
        return any(map(self.is_number, range(len(self.columns))))

    @property
    def spreads(self) -> str:
        """The meaning of the uncertainties in the cells, in small print; "" without any."""
        signs = {cell.spread[:1] for row in self.rows for cell in row}
        meaning = f"± is {plus_minus(self.seeded)}."
        published = [index for index, (_, part) in enumerate(self.columns) if part == "published"]
        if self.seeded and any(row[index].spread for row in self.rows for index in published):
            meaning += f" Behind a published number it is {plus_minus(seeded=False)}."
        words = {"±": meaning, "[": "[low, high] is an interval; the notes state its method."}
        return " ".join(words[sign] for sign in words if sign in signs)

    @property
    def missing(self) -> list[str]:
        return [note for note in self.notes if note.startswith("missing: ")]

    @property
    def remarks(self) -> list[str]:
        return [note for note in self.notes if note not in self.missing]


TABLE = TypeAdapter(DisplayTable)


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


def listed(parts: list[str], most: int | None = None) -> str:
    """Such as `a, b and c`; of more than `most`, the first and the number of the others."""
    if most is not None and len(parts) > most:
        parts = [*parts[:most], f"{len(parts) - most} more"]
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]


def plus_minus(seeded: bool) -> str:
    """The meaning of ± behind a measured number; behind a published one it is never over seeds."""
    return "one standard deviation over training seeds" if seeded else "two standard deviations over images"


def sentences(start: str, parts: list[str], between: str = ", ") -> list[str]:
    """`START: a, b, c.` in as many sentences of at most LONGEST characters as are needed."""
    lines: list[list[str]] = [[]]
    for part in parts:
        if lines[-1] and len(f"{start}: {between.join([*lines[-1], part])}.") > LONGEST:
            lines.append([])
        lines[-1].append(part)
    return [f"{start}: {between.join(line)}." for line in lines if line]


def read_display(path: Path, name: str = "", latex: Path | None = None) -> DisplayTable:
    """The table in a `table.json`, with its name and its LaTeX."""
    with readable(f"table {path}: not a table as make_table writes it"):
        table = TABLE.validate_json(path.read_bytes())
        return replace(table, name=name, latex="" if latex is None else latex.read_text(encoding="utf-8"))
