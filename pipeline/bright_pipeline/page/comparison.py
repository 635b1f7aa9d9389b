"""A run's tables in words: the main result in one sentence, and a paragraph on who leads in which quantity."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.settings.quantities import DECODING_SPEED, RECONSTRUCTION_DISTANCE, SAMPLE_DISTANCE
from bright_pipeline.settings.quantities import GENERATION as GENERATION_METRICS
from bright_pipeline.settings.quantities import RECONSTRUCTION as RECONSTRUCTION_METRICS
from bright_pipeline.stages.evaluation import GAUSSIAN, REAL
from bright_pipeline.stages.tables import FIRST_ROW
from bright_pipeline.tables.differences import CONFIDENCE, Difference, difference, holm
from bright_pipeline.tables.display_table import LONGEST, DisplayCell, DisplayTable, listed, plus_minus

BETTER = {"↑": 1, "↓": -1}  # whether a larger number is the better one, by the arrow of the heading
RECONSTRUCTION, GENERATION = ("table2", "equal_budget"), ("table5", "table6", "latent_diffusion")
METRICS_NAMED = 3  # of a reconstruction
KEYS_NAMED = 2  # of the keys that a row changes, where they have no label
DIRECTION = {"↓": ", lower is better", "↑": ", higher is better"}
MEASURED = (*RECONSTRUCTION_METRICS, *RECONSTRUCTION_DISTANCE, *GENERATION_METRICS, *SAMPLE_DISTANCE, DECODING_SPEED)
QUALITY = {quantity.label for quantity in MEASURED}
"""Quantities in which rows are compared: no conventions such as 32 bits a float, and no seconds beside other jobs."""
FROM_FIRST = {quantity.label for quantity in SAMPLE_DISTANCE}
"""Quantities in which the first row is compared with each other row, not only the best with the second."""
SAME_START = ("code_noise", "losses.", "training.", "decoder_stage")
"""Changed keys that keep the order of the data and the initial weights: such rows are compared seed by seed."""

Row = list[DisplayCell]


class Reached(NamedTuple):
    """A row's number in one quantity."""

    row: str
    cell: DisplayCell

    def __str__(self) -> str:
        return f"{self.row} ({self.cell.text})"


class Compared(NamedTuple):
    """Two rows in one quantity: the one that a sentence is about, and the one that it is compared with."""

    words: str | None  # that begin the sentence; None for a cell of `against_first`
    name: str  # of the quantity
    one: Reached
    other: Reached
    difference: Difference | None


class Judged(NamedTuple):
    """Two rows, whether their difference is significant, and the level below which another p-value would be."""

    pair: Compared
    is_significant: bool
    level: float


def comparison(table: DisplayTable) -> list[str]:
    """Which rows differ, and by how much, in sentences about two rows each; [] where fewer than two rows compare.

    The best row with the second, in each quantity of quality. Ablations with several training seeds: each row with the
    first.
    Intervals are 95 % intervals of the difference, and significance is corrected for all comparisons of the table.
    """
    judged = _judged(table)
    known = [pair.difference for pair, *_ in judged if pair.difference is not None]
    if changes := _changed(table):
        sentences = [_change(pair) for pair, is_significant, _ in judged if is_significant]
        changed = {pair.words for pair, is_significant, _ in judged if is_significant}
        same = dict.fromkeys(
            pair.words for pair in changes if pair.difference is not None and pair.words not in changed
        )
        sentences += [f"{words}: no significant difference from the first row." for words in same]
    else:
        sentences = [_lead(*one) for one in judged if one.pair.words is not None]
    if known and sentences:
        how = "over training seeds" if table.seeded else "from the metrics' own intervals"
        rule = f"significant: at 5% after Holm's correction for {len(known)} comparison{'s' * (len(known) != 1)}"
        sentences.append(f"Brackets are 95% intervals of the difference, {how}; {rule}.")
    return sentences


def against_first(table: DisplayTable) -> dict[str, dict[str, str]]:
    """Each other row, and how far its distances of samples are above the first row's, by quantity; {} without any.

    Significant differences are bold, as in Markdown; of the others it says which one would be significant.
    """
    own = next((label for _, label in labelled(table)), None)
    found: dict[str, dict[str, str]] = {}
    for pair, is_significant, level in _judged(table):
        if pair.name not in FROM_FIRST or pair.difference is None or own not in (pair.one.row, pair.other.row):
            continue
        row, above = pair.one.row, pair.difference
        if row == own:
            row, above = pair.other.row, above._replace(number=-above.number)
        number, low, high = (_digits(one, pair.one.cell, "+") for one in (above.number, *above.interval))
        words = f"**{number}** [{low}, {high}]" if is_significant else f"{number} [{low}, {high}]"
        would = "" if is_significant else f"; {_digits(above.half(1 - level), pair.one.cell)} would be significant"
        found.setdefault(row, {})[pair.name] = words + would
    return found


def _judged(table: DisplayTable) -> list[Judged]:
    """The pairs that a table compares, with Holm's correction over all of them."""
    pairs = _changed(table) or _with_first(table, list(_leading(table)))
    significant = holm([pair.difference.p for pair in pairs if pair.difference is not None])
    verdicts = iter(significant)
    # What Holm's correction asks of the next difference.
    level = (1 - CONFIDENCE) / max(1, len(significant) - sum(significant))
    return [Judged(pair, pair.difference is not None and next(verdicts), level) for pair in pairs]


def _lead(pair: Compared, significant: bool, level: float) -> str:
    """A sentence on two rows in a quantity, mostly the best and the second, or two where it would be too long.

    level: the p-value below which a difference that is not significant would be.
    """
    first, second = f"{pair.words}{_plain(pair.name)}: {pair.one}", str(pair.other)
    if pair.difference is None:
        words = f"{first}, then {second}; no interval is known.", f"Then {second}; no interval is known."
    elif significant:
        verb, where = ("leads", "ahead of") if _is_better(pair) else ("trails", "behind")
        words = f"{first} {verb} {second} by {_interval(pair)}.", f"It is {where} {second} by {_interval(pair)}."
    else:
        would = f"a difference of {_digits(pair.difference.half(1 - level), pair.one.cell)} would"
        words = (
            f"{first} and {second} do not differ significantly; {would}.",
            f"The difference from {second} is not significant; {would} be.",
        )
    return words[0] if len(words[0]) <= LONGEST else f"{first}. {words[1]}"


def _change(pair: Compared) -> str:
    """A sentence on a significant change against the first row."""
    better = "better" if _is_better(pair) else "worse"
    return f"{pair.words}: {better} in {_plain(pair.name)} by {_interval(pair)}."


def _is_better(pair: Compared) -> bool:
    """Whether the row that a sentence is about is the better one."""
    assert pair.difference is not None
    return pair.difference.number * BETTER[pair.name[-1]] > 0


def _interval(pair: Compared) -> str:
    """The size of a difference and its interval."""
    assert pair.difference is not None
    low, high = sorted(map(abs, pair.difference.interval))
    size, low_text, high_text = (_digits(one, pair.one.cell) for one in (abs(pair.difference.number), low, high))
    return f"{size} [{low_text}, {high_text}]"


def _digits(number: float, like: DisplayCell, sign: str = "") -> str:
    """A number with as many decimals as a cell."""
    return f"{number:{sign}.{len(like.text.partition('.')[2])}f}".replace("-", "−")


def _leading(table: DisplayTable) -> Iterator[Compared]:
    """The best and the second measured row in each quantity."""
    for name in table.quantities:
        first, second, *_ = (*ranked(table, name), None, None)
        if first is not None and second is not None and first.cell.text != second.cell.text:
            yield Compared("", name, first, second, difference(first.cell, second.cell))


def _with_first(table: DisplayTable, pairs: list[Compared]) -> list[Compared]:
    """These pairs, then the first row and each other one in the distances of samples, where they are no pair yet."""
    known = {(pair.name, frozenset((pair.one.cell, pair.other.cell))) for pair in pairs}
    own = next((label for _, label in labelled(table)), None)
    added = []
    for name in (name for name in table.quantities if name in FROM_FIRST):
        rows = ranked(table, name)
        for one, other in product([one for one in rows if one.row == own], [one for one in rows if one.row != own]):
            if (name, frozenset((one.cell, other.cell))) not in known:
                added.append(Compared(None, name, one, other, difference(one.cell, other.cell)))
    return [*pairs, *added]


def _changed(table: DisplayTable) -> list[Compared]:
    """Each row of ablations (`Changed`) and the first, in each quantity; [] for other tables, or with one seed."""
    (first, own), *others = labelled(table) or [([], "")]
    if not table.seeded or not others or table.cell(first, "Changed").text != FIRST_ROW:
        return []
    reached = {name: {one.row: one for one in ranked(table, name)} for name in table.quantities}
    pairs = []
    for row, label in others:
        changed, keys = _words(table, row)
        paired = all(key.strip().startswith(SAME_START) for key in keys.split(","))
        for name, rows in reached.items():
            if label in rows and own in rows:
                found = difference(rows[label].cell, rows[own].cell, paired)
                pairs.append(Compared(changed, name, rows[label], rows[own], found))
    return pairs


def _words(table: DisplayTable, row: Row) -> tuple[str, str]:
    """What a row changes, as its label or its first keys, and all keys."""
    words = table.cell(row, "Changed").text
    keys = table.changes[table.rows.index(row)] if table.changes else words
    return (listed(words.split(", "), KEYS_NAMED) if words == keys else words), keys


def ranked(table: DisplayTable, name: str) -> list[Reached]:
    """The models' rows with this quantity measured, the best first; [] for one that is no measure of quality."""
    if name not in QUALITY or (sign := BETTER.get(name[-1:])) is None:
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
            changed, _ = _words(table, row)
            label = " ".join(filter(None, (table.cell(row, column).text for column in ("Method", "Code size"))))
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
    """Sentences and their numbers: the first measured rows of reconstruction and generation, the neighbours."""
    parts: list[str] = []
    numbers: list[KeyNumber] = []
    if (found := _first(tables, RECONSTRUCTION)) is not None:
        table, row = found
        cells = list(table.measured_cells(row).items())[:METRICS_NAMED]
        numbers += [KeyNumber(_directed(name), cell.text, _beside(table, row, name, cell)) for name, cell in cells]
        model = " ".join(filter(None, (table.cell(row, "Method").text, table.cell(row, "Code size").text)))
        reached = listed([_number(name, cell) for name, cell in cells])
        parts.append(f"{model} reconstructs {table.cell(row, 'Dataset')} with {reached}.{_compared(table, row)}")
    if (found := _first(tables, GENERATION)) is not None:
        table, row = found
        name, cell = next(iter(table.measured_cells(row).items()))
        # The same quantity of real images, else of another row.
        rows = [other for other in table.measured_rows() if other is not row]
        cells_of = [(table.cell(other, "Method").text, table.measured_cells(other).get(name)) for other in rows]
        known = [(method, one) for method, one in cells_of if one]
        other = next(iter(sorted(known, key=lambda pair: pair[0] != REAL)), None)
        others = f"{other[0]}: {other[1].text}" if other else ""
        count = table.cell(row, "Samples").text
        numbers.append(KeyNumber(_directed(name), cell.text, others or _beside(table, row, name, cell)))
        number = f"{int(count):,} images" if count.isdigit() else "Images"
        reached = f"{_number(name, cell)}{f' ({others})' if others else ''}.{_compared(table, row)}"
        parts.append(f"{number} generated by {table.cell(row, 'Method')} reach {reached}")
    if neighbours is not None:
        # The median distance of samples to their nearest training images over that of validation images.
        ratio = read_summary(neighbours).values["ratio"].number
        beside = "times that of validation images; a copy has 0"
        numbers.append(KeyNumber("Distance to training images", f"{ratio:.2f}", beside))
        who = "They" if found is not None else "Generated images"
        parts.append(f"{who} are {ratio:.2f} times as far from their nearest training images as validation images are.")
    nothing = "Nothing has been measured in this run; its tables are of counts."
    return " ".join(parts) if parts else nothing, numbers


def _first(tables: Mapping[str, DisplayTable], names: tuple[str, ...]) -> tuple[DisplayTable, Row] | None:
    """The first measured row with a number, in the first of these tables that has one."""
    for table in (tables[name] for name in names if name in tables):
        for row in table.measured_rows():
            if table.measured_cells(row):
                return table, row
    return None


def _plain(label: str) -> str:
    return label.rstrip(" ↑↓")


def _directed(label: str) -> str:
    return f"{_plain(label)}{DIRECTION.get(label[-1], '')}"


def _number(label: str, cell: DisplayCell) -> str:
    """The quantity and its number, the unit behind it: `PSNR 24.07 dB`."""
    name, unit, _ = _plain(label).partition(" (dB)")
    return f"{name} {cell.text}" + (" dB" if unit else "")


def _beside(table: DisplayTable, row: Row, name: str, cell: DisplayCell) -> str:
    """The published number, else the spread and its meaning."""
    published = str(table.cell(row, name, "published"))
    meaning = f", {plus_minus(table.seeded)}" if cell.spread.startswith("±") else ""
    return f"published {published}" if published else f"{cell.spread}{meaning}"


def _compared(table: DisplayTable, row: Row) -> str:
    """A sentence on the differences from the published row, where there are some."""
    found = {name: table.cell(row, name, "difference").text for name in table.measured_cells(row)}
    differences = [f"{_plain(name)} {difference}" for name, difference in found.items() if difference]
    return f" Measured − published: {listed(differences)}." if differences else ""
