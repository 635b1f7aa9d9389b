"""Who leads in what, by how much, and whether that is more than the spread: one paragraph from a table's own cells."""

import re
from collections import Counter
from dataclasses import dataclass, replace

from pipeline.page.shown_tables import ShownTable, is_measured
from pipeline.stages.evaluation import GAUSSIAN, REAL
from pipeline.stages.tables import FIRST_ROW

BETTER = {"↑": 1, "↓": -1}
"""What a heading's arrow says: whether a larger number is the better one."""
CELL = re.compile(r"(?P<number>−?[\d.]+)(?: ± (?P<spread>[\d.]+)| \[(?P<low>−?[\d.]+), (?P<high>−?[\d.]+)\])?")
VARIANT = re.compile(r"(?P<method>.+) \((?P<words>.+)\)")
"""A method with words that say how its training was another one."""


@dataclass(frozen=True)
class Reached:
    """A row's number in one quantity: as the table has it, and the interval around it where there is one."""

    row: str
    text: str
    number: float
    interval: tuple[float, float] | None

    def overlaps(self, other: "Reached") -> bool | None:
        """Whether the intervals meet; None where one of the two has none."""
        if self.interval is None or other.interval is None:
            return None
        return self.interval[0] <= other.interval[1] and other.interval[0] <= self.interval[1]


def comparison(table: ShownTable) -> str:
    """Of a table with an arrow in the headings: who leads in what; "" where fewer than two rows can be compared.

    Rows that are told by words such as `(without adversarial loss)` are compared with their like, the others too.
    Of ablations with several training seeds: what each row gains and loses against the first.
    """
    return _changes(table) or " ".join(filter(None, (_leads(alike, words) for words, alike in _alike(table))))


def _alike(table: ShownTable) -> list[tuple[str, ShownTable]]:
    """The table in parts, by the words behind the methods of its measured rows; whole where a part has but one row."""
    parts: dict[str, tuple[list[list[str]], list[str | None]]] = {}
    for row, entry in table.shown_rows:
        if is_measured(table.cell(row, "Source")):
            told = VARIANT.fullmatch(table.cell(row, "Method"))
            rows, entries = parts.setdefault(told["words"] if told else "", ([], []))
            rows.append([told["method"] if told and cell == told.string else cell for cell in row])
            entries.append(entry)
    if len(parts) < 2 or any(len(rows) < 2 for rows, _ in parts.values()):
        return [("", table)]
    named = {words: f"Of those {words}, " if words else "Of the others, " for words in parts}
    return [(named[words], replace(table, rows=rows, entries=entries)) for words, (rows, entries) in parts.items()]


def _leads(table: ShownTable, words: str) -> str:
    """Who leads in what, behind words that say of which."""
    led: dict[str, list[str]] = {}
    for name in table.quantities:
        found = ranked(table, name)
        if len(found) > 1 and found[0].number != found[1].number:
            led.setdefault(found[0].row, []).append(_lead(name, found[0], found[1]))
    parts = [f"{row} leads in {_list(leads)}" for row, leads in led.items()]
    return f"{words}{'; '.join(parts)}." if parts else ""


def _changes(table: ShownTable) -> str:
    """What rows with other settings (column `Changed`) gain and lose; "" of other tables, and of one training seed."""
    (first, own), *others = labelled(table) or [([], "")]
    if not table.seeded or not others or table.cell(first, "Changed") != FIRST_ROW:
        return ""
    reached = {name: {one.row: one for one in ranked(table, name)} for name in table.quantities}
    told, same = [], []
    for row, label in others:
        changed = table.cell(row, "Changed")
        if change := _change(reached, label, own):
            told.append(f"{changed} is {change}")
        elif _compared(reached, label, own):
            same.append(changed)
    if same:
        told.append(f"{_list(same)} differ{'s' if len(same) == 1 else ''} in nothing by more than the intervals")
    return f"Against the first row: {'; '.join(told)}." if told else ""


def _compared(reached: dict[str, dict[str, Reached]], label: str, own: str) -> bool:
    """Whether two rows have a quantity in common, with an interval in both."""
    both = (rows for rows in reached.values() if label in rows and own in rows)
    return any(rows[label].overlaps(rows[own]) is not None for rows in both)


def _change(reached: dict[str, dict[str, Reached]], label: str, own: str) -> str:
    """Such as `better in PSNR (24.97, not 24.60)`: where the intervals of two rows do not meet."""
    sides: dict[str, list[str]] = {"better": [], "worse": []}
    for name, rows in reached.items():  # the best row first
        if label in rows and own in rows and rows[label].overlaps(rows[own]) is False:
            side = "better" if list(rows).index(label) < list(rows).index(own) else "worse"
            sides[side].append(f"{name.rstrip(' ↑↓')} ({rows[label].text}, not {rows[own].text})")
    return " and ".join(f"{side} in {_list(names)}" for side, names in sides.items() if names)


def ranked(table: ShownTable, name: str) -> list[Reached]:
    """The models' rows that have this quantity measured, the best first; nothing for one without an arrow."""
    if (sign := BETTER.get(name[-1:])) is None:
        return []
    found = []
    for row, label in labelled(table):
        cell = table.measured_cells(row).get(name, "")
        if (match := CELL.fullmatch(cell)) is not None and table.cell(row, "Method") not in (GAUSSIAN, REAL):
            found.append(Reached(label, match["number"], _number(match["number"]), _interval(match, table.seeded)))
    return sorted(found, key=lambda one: -sign * one.number)


def labelled(table: ShownTable) -> list[tuple[list[str], str]]:
    """The measured rows, each with what it is called; with its name in the config where others are called the same."""
    named = []
    for row, entry in table.shown_rows:
        if is_measured(table.cell(row, "Source")):
            label = " ".join(filter(None, (table.cell(row, column) for column in ("Method", "Code size"))))
            changed = table.cell(row, "Changed")
            named.append((row, f"{label}, {changed}" if changed else label, entry))
    counts = Counter(label for _, label, _ in named)
    return [
        (row, f"{label} ({entry.rpartition('.')[2]})" if entry and counts[label] > 1 else label)
        for row, label, entry in named
    ]


def _interval(match: re.Match[str], seeded: bool) -> tuple[float, float] | None:
    """Of a cell; a ± that is a spread over images says nothing of the mean."""
    if match["low"] is not None:
        return _number(match["low"]), _number(match["high"])
    if match["spread"] is not None and seeded:
        number, spread = _number(match["number"]), _number(match["spread"])
        return number - spread, number + spread
    return None


def _number(text: str) -> float:
    return float(text.replace("−", "-"))


def _lead(name: str, first: Reached, second: Reached) -> str:
    """Such as `PSNR (dB) (25.61, then BRIGHT 8x8x4 with 24.25; the intervals overlap)`."""
    overlap = {None: "", True: "; the intervals overlap", False: "; the intervals do not overlap"}
    plain = name.rstrip(" ↑↓")
    return f"{plain} ({first.text}, then {second.row} with {second.text}{overlap[first.overlaps(second)]})"


def _list(parts: list[str]) -> str:
    return ", ".join(parts[:-1]) + (" and " if len(parts) > 1 else "") + parts[-1]
