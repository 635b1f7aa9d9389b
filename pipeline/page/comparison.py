"""A run's tables in words: the main result in one sentence, and a paragraph on who leads in which quantity."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from pipeline.base.summary import read_summary
from pipeline.stages.evaluation import GAUSSIAN, REAL
from pipeline.stages.tables import FIRST_ROW
from pipeline.tables.display_table import DisplayCell, DisplayTable, listed

BETTER = {"↑": 1, "↓": -1}  # whether a larger number is the better one, by the arrow of the heading
VARIANT = re.compile(r"(.+) \((.+)\)")
"""A method and the last words in brackets, such as `LDM (codes of VQGAN) (without adversarial loss)`."""
RECONSTRUCTION, GENERATION = ("table2",), ("table5", "table6")
METRICS_NAMED = 3  # of a reconstruction

Row = list[DisplayCell]


class Reached(NamedTuple):
    """A row's number in one quantity."""

    row: str
    cell: DisplayCell

    def overlaps(self, other: "Reached") -> bool | None:
        """Whether the intervals meet; None where one of the two has none."""
        if self.cell.interval is None or other.cell.interval is None:
            return None
        (low, high), (other_low, other_high) = self.cell.interval, other.cell.interval
        return low <= other_high and other_low <= high


def comparison(table: DisplayTable) -> str:
    """Who leads in which quantity, for tables with arrows in the headings; "" where fewer than two rows compare.

    Rows with the same words behind the method, such as `(without adversarial loss)`, are compared with each other.
    Ablations with several training seeds: the gains and losses of each row against the first.
    """
    if changes := _changes(table):
        return changes
    # The measured rows by the words behind their methods; the whole table where a part would have one row.
    parts: dict[str, list[tuple[Row, str | None]]] = {}
    subject = table.columns.index(("Method", "")) if ("Method", "") in table.columns else 0
    for row, entry in zip(table.rows, table.entries, strict=True):
        if table.is_measured(row):
            variant = VARIANT.fullmatch(row[subject].text)
            method, words = variant.groups() if variant else (row[subject].text, "")
            named = [*row[:subject], DisplayCell(method), *row[subject + 1 :]]
            parts.setdefault(words, []).append((named, entry))
    if len(parts) < 2 or any(len(rows) < 2 for rows in parts.values()):
        return _leads(table, "")
    leads = []
    for words, rows in parts.items():
        part = replace(table, rows=[row for row, _ in rows], entries=[entry for _, entry in rows])
        leads.append(_leads(part, f"Of those {words}, " if words else "Of the others, "))
    return " ".join(filter(None, leads))


def _leads(table: DisplayTable, words: str) -> str:
    """Who leads in which quantity, behind words that name the rows compared."""
    led: dict[str, list[str]] = {}
    for name in table.quantities:
        first, second, *_ = (*ranked(table, name), None, None)
        if first is None or second is None or first.cell.text == second.cell.text:
            continue
        overlap = {None: "", True: "; the intervals overlap", False: "; the intervals do not overlap"}
        # Such as `PSNR (dB) (25.61, then BRIGHT 8x8x4 with 24.25; the intervals overlap)`.
        behind = f"then {second.row} with {second.cell.text}{overlap[first.overlaps(second)]}"
        led.setdefault(first.row, []).append(f"{_plain(name)} ({first.cell.text}, {behind})")
    parts = [f"{row} leads in {listed(leads)}" for row, leads in led.items()]
    return f"{words}{'; '.join(parts)}." if parts else ""


def _changes(table: DisplayTable) -> str:
    """The gains and losses of each row (`Changed`) against the first; "" for other tables, or with one seed."""
    (first, own), *others = labelled(table) or [([], "")]
    if not table.seeded or not others or table.cell(first, "Changed").text != FIRST_ROW:
        return ""
    reached = {name: {one.row: one for one in ranked(table, name)} for name in table.quantities}
    changes, same = [], []
    for row, label in others:
        changed = table.cell(row, "Changed").text
        sides: dict[str, list[str]] = {"better": [], "worse": []}
        compared = False
        for name, rows in reached.items():  # the best row first
            overlaps = rows[label].overlaps(rows[own]) if label in rows and own in rows else None
            compared |= overlaps is not None
            if overlaps is False:
                side = "better" if list(rows).index(label) < list(rows).index(own) else "worse"
                numbers = f"{rows[label].cell.text}, not {rows[own].cell.text}"
                sides[side].append(f"{_plain(name)} ({numbers})")
        if any(sides.values()):
            words = " and ".join(f"{side} in {listed(names)}" for side, names in sides.items() if names)
            changes.append(f"{changed} is {words}")
        elif compared:
            same.append(changed)
    if same:
        changes.append(f"{listed(same)} differ{'s' if len(same) == 1 else ''} in nothing by more than the intervals")
    return f"Against the first row: {'; '.join(changes)}." if changes else ""


def ranked(table: DisplayTable, name: str) -> list[Reached]:
    """The models' rows with this quantity measured, the best first; [] for a quantity without an arrow."""
    if (sign := BETTER.get(name[-1:])) is None:
        return []
    found = []
    for row, label in labelled(table):
        cell = table.measured_cells(row).get(name)
        if cell is not None and table.cell(row, "Method").text not in (GAUSSIAN, REAL):
            found.append(Reached(label, cell))
    return sorted(found, key=lambda one: -sign * (one.cell.number or 0))


def labelled(table: DisplayTable) -> list[tuple[Row, str]]:
    """The measured rows with their labels; equal labels are followed by the name in the config."""
    named = []
    for row, entry in zip(table.rows, table.entries, strict=True):
        if table.is_measured(row):
            label = " ".join(filter(None, (table.cell(row, column).text for column in ("Method", "Code size"))))
            changed = table.cell(row, "Changed").text
            named.append((row, f"{label}, {changed}" if changed else label, entry))
    counts = Counter(label for _, label, _ in named)
    return [
        (row, f"{label} ({entry.rpartition('.')[2]})" if entry and counts[label] > 1 else label)
        for row, label, entry in named
    ]


class KeyNumber(NamedTuple):
    """A number with its label, and a number or a spread beside it."""

    label: str
    value: str
    beside: str


def headline(tables: Mapping[str, DisplayTable], neighbours: Path | None) -> tuple[str, list[KeyNumber]]:
    """One sentence and its numbers: the first measured rows of reconstruction and generation, the neighbours."""
    parts: list[str] = []
    numbers: list[KeyNumber] = []
    if (found := _first(tables, RECONSTRUCTION)) is not None:
        table, row = found
        cells = list(table.measured_cells(row).items())[:METRICS_NAMED]
        numbers += [KeyNumber(_plain(name), cell.text, _beside(table, row, name, cell)) for name, cell in cells]
        model = " ".join(filter(None, (table.cell(row, "Method").text, table.cell(row, "Code size").text)))
        reached = f"{listed([_number(name, cell) for name, cell in cells])}{_compared(table, row)}"
        parts.append(f"{model} reconstructs {table.cell(row, 'Dataset')} with {reached}")
    if (found := _first(tables, GENERATION)) is not None:
        table, row = found
        name, cell = next(iter(table.measured_cells(row).items()))
        # The same quantity of the other measured rows, such as of real images.
        rows = [other for other in table.measured_rows() if other is not row]
        cells_of = [(table.cell(other, "Method"), table.measured_cells(other).get(name)) for other in rows]
        others = ", ".join(f"{method}: {one.text}" for method, one in cells_of if one)
        count = table.cell(row, "Samples").text
        numbers.append(KeyNumber(_plain(name), cell.text, others or _beside(table, row, name, cell)))
        number = f"{int(count):,} images" if count.isdigit() else "images"
        reached = f"{_number(name, cell)}{f' ({others})' if others else ''}{_compared(table, row)}"
        parts.append(f"{number} generated by {table.cell(row, 'Method')} reach {reached}")
    if neighbours is not None:
        # The median distance of samples to their nearest training images over that of validation images.
        ratio = read_summary(neighbours).values["ratio"].number
        beside = "times that of validation images; a copy has 0"
        numbers.append(KeyNumber("Distance to training images", f"{ratio:.2f}", beside))
        who = "they" if found is not None else "generated images"
        parts.append(f"{who} lie {ratio:.2f} times as far from their nearest training images as validation images do")
    nothing = "Nothing has been measured in this run; its tables are of counts."
    return "; ".join(parts) + "." if parts else nothing, numbers


def _first(tables: Mapping[str, DisplayTable], names: tuple[str, ...]) -> tuple[DisplayTable, Row] | None:
    """The first measured row with a number, in the first of these tables that has one."""
    for table in (tables[name] for name in names if name in tables):
        for row in table.measured_rows():
            if table.measured_cells(row):
                return table, row
    return None


def _plain(label: str) -> str:
    return label.rstrip(" ↑↓")


def _number(label: str, cell: DisplayCell) -> str:
    """The quantity and its number, the unit behind it: `PSNR 24.07 dB`."""
    name, unit, _ = _plain(label).partition(" (dB)")
    return f"{name} {cell.text}" + (" dB" if unit else "")


def _beside(table: DisplayTable, row: Row, name: str, cell: DisplayCell) -> str:
    """The published number, else the spread."""
    published = str(table.cell(row, name, "published"))
    return f"published {published}" if published else cell.spread


def _compared(table: DisplayTable, row: Row) -> str:
    """The differences from the published row, where there are some."""
    found = {name: table.cell(row, name, "difference").text for name in table.measured_cells(row)}
    differences = [f"{_plain(name)} {difference}" for name, difference in found.items() if difference]
    return f" (against the published numbers: {listed(differences)})" if differences else ""
