"""The arrangement of tables on the page: parts, blocks of columns, and one table of generation for one dataset."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Any, NamedTuple

from bright_pipeline.tables.display_table import LAST, NOT_MEASURED, VERDICT_HERE, DisplayCell, DisplayTable, Heading

BLOCKS = {"measured": "Measured here", "difference": "Measured − published", "published": "Published in the paper"}
"""The second headings of quantities -> the page's headings of their columns, side by side and in this order."""
FEATURES = "EfficientNet-Lite0"  # measured columns on these features have a heading of their own
WITHOUT_HEADING = ("Dataset", "Code size", "Changed")  # columns whose cells are clear without a heading
ON_ONE_LINE = 140  # characters of the measured columns; if they are wider, an uncertainty is below its number
MOST_TOGETHER = 12  # of measured columns: more do not fit on 1,300 pixels
GENERATION = ("table5", "table6")


class Block(NamedTuple):
    """Neighbouring columns under one heading; a column without a heading is a separate block."""

    heading: str
    columns: dict[int, str]  # index of a column in the file -> its heading


@dataclass(frozen=True)
class Part:
    """Rows of a table that are shown together, with the columns that have content in one of them."""

    heading: str
    table: DisplayTable
    folded: bool = False

    @cached_property
    def common(self) -> dict[str, str]:
        """Explanatory columns in which all rows agree: shown in small print below the rows."""
        distinct = {name: {self.table.cell(row, name).text for row in self.table.rows} for name in LAST}
        return {name: "".join(texts) for name, texts in distinct.items() if len(texts) == 1}

    @cached_property
    def blocks(self) -> list[Block]:
        """The columns in the page's order: the row's name, measured numbers, differences, published ones, the rest."""
        table = self.table
        if not table.has_numbers:
            neighbours = groupby(enumerate(table.columns), lambda indexed: indexed[1][0])
            groups = [(name, {index: part for index, (_, part) in columns}) for name, columns in neighbours]
            return [
                Block(name, columns) if any(columns.values()) else Block("", dict.fromkeys(columns, name))
                for name, columns in groups
            ]
        on_features = [FEATURES in name for name, part in table.columns if part.startswith("measured")]
        parts: dict[str, dict[int, str]] = {heading: {} for heading in (BLOCKS["measured"], FEATURES, *BLOCKS.values())}
        alone = []
        for index, (name, part) in enumerate(table.columns):
            kind, _, variant = part.partition(" ")
            if table.is_number(index):
                grouped = sum(on_features) > 1 and kind == "measured" and FEATURES in name
                label = name.replace(f" ({FEATURES})", "") if grouped else name
                parts[FEATURES if grouped else BLOCKS[kind]][index] = f"{label} {variant}".rstrip()
            elif index not in (table.subject, *table.identity) and name not in self.common:
                alone.append(Block("", {index: name}))
        first = Block("", {table.subject: table.columns[table.subject][0]})
        return [first, *(Block(heading, columns) for heading, columns in parts.items() if columns), *alone]

    @property
    def is_narrow(self) -> bool:
        """Whether a number and its uncertainty fit on one line in each of the measured columns."""
        measured = [index for index, (_, part) in enumerate(self.table.columns) if part.startswith("measured")]
        return sum(max(len(str(row[index])) for row in self.table.rows) for index in measured) <= ON_ONE_LINE

    def named(self, row: list[DisplayCell]) -> list[str]:
        """The identity of a row below its subject, such as `clothes`, `8x8x4`, `C_key 2`."""
        words = ((self.table.columns[index][0], row[index].text) for index in self.table.identity if row[index].text)
        return [text if name in WITHOUT_HEADING else f"{name} {text}" for name, text in words]


def parts(table: DisplayTable) -> list[Part]:
    """This run's rows, then the paper's. Claims that were not measured here come last and are folded."""
    is_claims = VERDICT_HERE in table.columns
    here = [row for row in table.rows if table.cell(row, *VERDICT_HERE).text != NOT_MEASURED]
    if not is_claims:
        here = table.measured_rows() if table.has_numbers else table.rows
    others = [row for row in table.rows if not any(row is first for first in here)]
    if not (here and others):
        return _together("", _only(table, table.rows))
    if is_claims:
        return [Part("", _only(table, here)), Part(f"{len(others)} not measured here", _only(table, others), True)]
    return [*_together("This run", _only(table, here)), Part("The paper's rows", _only(table, others))]


def _together(heading: str, table: DisplayTable) -> list[Part]:
    """One part, or two where the measured columns do not fit beside each other."""
    numbers = [index for index in range(len(table.columns)) if table.is_number(index)]
    measured = [index for index in numbers if table.columns[index][1].startswith("measured")]
    on_features = [index for index in measured if FEATURES in table.columns[index][0]]
    if len(measured) <= MOST_TOGETHER or len(on_features) in (0, len(measured)):
        return [Part(heading, table)]
    others = [index for index in numbers if index not in on_features]
    below = Part(f"{heading or 'The same rows'}, on features of {FEATURES}", _without(table, others))
    return [Part(heading, _without(table, on_features)), below]


def _only(table: DisplayTable, rows: list[list[DisplayCell]]) -> DisplayTable:
    """The table with these rows only, without the columns that are empty in all of them."""
    entries = [entry for row, entry in zip(table.rows, table.entries, strict=True) if any(row is kept for kept in rows)]
    texts = [{str(row[index]) for row in rows} - {"", NOT_MEASURED} for index in range(len(table.columns))]
    empty = [index for index, contents in enumerate(texts) if not contents and index != table.subject]
    return _without(replace(table, rows=rows, entries=entries), empty)


def _without(table: DisplayTable, omitted: list[int]) -> DisplayTable:
    """The table without some columns."""
    kept = [index for index in range(len(table.columns)) if index not in omitted]
    rows = [[row[index] for index in kept] for row in table.rows]
    return replace(table, columns=[table.columns[index] for index in kept], rows=rows)


def arranged(tables: Mapping[str, DisplayTable]) -> list[DisplayTable]:
    """The tables of the page; those of generation are merged if all rows of the run use the same images."""
    several = [tables[name] for name in GENERATION if name in tables]
    datasets = {table.cell(row, "Dataset").text for table in several for row in table.measured_rows()}
    if len(several) < len(GENERATION) or len(datasets) != 1:
        return list(tables.values())
    columns: dict[Heading, None] = dict.fromkeys(heading for table in several for heading in table.columns)
    rows, entries = [], []
    for table in several:
        for row, entry in zip(table.rows, table.entries, strict=True):
            if entry is None or entry not in entries:
                rows.append([table.cell(row, *heading) for heading in columns])
                entries.append(entry)
    joined: dict[str, Any] = {
        key: list(dict.fromkeys(text for table in several for text in getattr(table, key)))
        for key in ("notes", "unmeasured")
    }
    title, latex = f"Generation (Tables 5 and 6; measured on {datasets.pop()})", "\n".join(t.latex for t in several)
    merged = replace(several[0], title=title, columns=list(columns), rows=rows, entries=entries, latex=latex, **joined)
    return [merged if table is several[0] else table for table in tables.values() if table is not several[1]]
