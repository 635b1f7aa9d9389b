"""Numbers in the sentences of pages: each marked number is filled from a committed table, or compared with it.

    python tools/page_numbers.py [--check] [PAGE...]     # without pages: README.md and docs/*.md

A marker follows its number and is invisible on a rendered page: `lower by 35 ± 7<!-- = SOURCE -->`. A SOURCE is
`TABLE; COLUMN; VALUE`. TABLE is a block (`<!-- table NAME -->`) of the page or of its appendix (`PAGE-tables.md`), a
block of another page or its appendix (`other.md:NAME`), or a file of docs/csv (`NAME.csv`; `NAME*.csv`: several). The
rows of a csv file are labelled by their first cells or, where these repeat, by the first two. A metrics.json is a
table, too: its innermost sections are the rows, labelled by the keys above them. A column or row is named by some of
its words: the shortest label that has them all. `COLUMN / COLUMN` is their ratio.

| VALUE            | the number before the marker                                             |
|------------------|--------------------------------------------------------------------------|
| ROW              | the cell; `± 2` its deviation                                            |
| ROW - ROW        | the difference; with ±, half of its 95 % interval by Welch over the seeds |
| ROW / ROW        | the ratio                                                                |
| ROW % ROW        | the ratio in percent                                                     |
| ROW +% ROW       | the first less the second, in percent of the second                      |
| max VALUE & ...  | the largest of several values; min: the smallest                         |
| VALUE & VALUE    | `2 to 9`: the smallest and the largest; `2`: each of them                |

`TABLE; sentence; WORDS # WORDS` is the number in place of # in the block's own sentences.

In a table, `<!-- row TABLE; COLUMN, COLUMN; ROW, ROW -->` behind the label of a row is the source of all numbers that
follow on its line: for each ROW, each COLUMN, all with `± DEVIATION` or none. Numbers with a sign, `+0.1` or `−0.1`,
are compared with their sign.

Cells are rounded, so a number is right if any numbers that round to these cells give it.
"""

import argparse
import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.tables.differences import Difference

DOCS = Path(__file__).parents[1] / "docs"
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
SHOWN = rf"(?:{NUMBER}\s(?:±|to)\s{NUMBER}|±\s{NUMBER}|(?<![\w.,]){NUMBER})"
MARKER = re.compile(rf"(?P<shown>{SHOWN})(?P<marker><!-- = (?P<source>[^>]*?) -->)", re.DOTALL)
ROW_MARKER = re.compile(r"(?P<marker><!-- row (?P<source>[^>]*?) -->)(?P<cells>[^\n]*)")
SIGNED = rf"(?:(?<!\w)[−+])?{NUMBER}"
CELL = re.compile(rf"(?P<mean>[−-]?{NUMBER})(?: ± (?P<deviation>[\d.]+)| \[.*\])?")
EXTREMES = {"max": max, "min": min}

Row = dict[str, str]
Bounds = tuple[float, float]  # the smallest and largest number that the rounded cells allow


class Table(NamedTuple):
    """Rows and their labels, the number of training seeds behind each mean, and the text of the block."""

    labels: list[str]
    rows: list[Row]
    seeds: int
    text: str = ""


class Value(NamedTuple):
    """A number and its spread: the deviation of a cell, or half of the interval of a difference."""

    number: Bounds
    spread: Bounds | None = None


def appendix(page: Path) -> Path:
    """The page that has the tables of a page."""
    return page.with_stem(f"{page.stem}-tables")


def sections(values: dict[str, Any], *keys: str) -> Iterator[tuple[str, Row]]:
    """Label and numbers of each innermost section of a metrics.json."""
    for key, value in values.items():
        if isinstance(value, dict):
            yield from sections(value, *keys, key)
    if numbers := {key: f"{value:.9f}" for key, value in values.items() if not isinstance(value, dict)}:
        yield " ".join(keys), numbers


@cache
def read_table(name: str, page: Path) -> Table:
    """A block of a page, a csv file, or a metrics.json."""
    if name.endswith(".csv"):
        texts = [path.read_text(encoding="utf-8") for path in sorted((DOCS / "csv").glob(name))]
        rows = [row for text in texts for row in csv.DictReader(text.splitlines())]
        names = [next(iter(row.values())) for row in rows]
        if len(set(names)) < len(names):
            names = [" ".join(list(row.values())[:2]) for row in rows]
        return Table(names, rows, 1)
    if name.endswith(".json"):
        rows_of = dict(sections(json.loads((DOCS / "csv" / name).read_text(encoding="utf-8"))))
        return Table(list(rows_of), list(rows_of.values()), 1)
    other, _, block_name = name.rpartition(":")
    first = (DOCS / other) if other else page
    text = "".join(path.read_text(encoding="utf-8") for path in (first, appendix(first)) if path.exists())
    blocks = re.findall(rf"<!-- table {re.escape(block_name)} -->(.*?)<!-- end -->", text, re.DOTALL)
    if len(blocks) != 1:
        raise InputError(f"{page}: {name}: no such block, or several")
    if "\n|" not in blocks[0]:
        return Table([], [], 1, blocks[0])
    lines = blocks[0][blocks[0].index("\n|") :].strip().partition("\n\n")[0].splitlines()
    heading, _, *cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    rows = [dict(zip(heading, row, strict=True)) for row in cells]
    labels = [" ".join(text for text in row.values() if text and not CELL.fullmatch(text)) for row in rows]
    seeds = re.search(r"training seeds ([\d, ]+\d)", blocks[0])
    return Table(labels, rows, seeds[1].count(",") + 1 if seeds else 1, blocks[0])


def named(words: str, labels: list[str]) -> str:
    """The shortest label that has all of these words."""
    patterns = [rf"(?<!\w){re.escape(word)}(?!\w)" for word in words.split()]
    fitting = sorted((label for label in labels if all(re.search(p, label) for p in patterns)), key=len)
    if not fitting or (len(fitting) > 1 and len(fitting[0]) == len(fitting[1])):
        raise InputError(f"{words}: {'several labels fit' if fitting else 'no label has these words'}: {labels}")
    return fitting[0]


def rounded(number: str) -> Bounds:
    """All numbers that round to this one."""
    half = 0.4999 * 10 ** -len(number.partition(".")[2])
    value = float(number.replace("−", "-").replace(",", ""))
    return value - half, value + half


def cell(table: Table, column: str, row: str) -> Value:
    """The mean and deviation of a cell, or the ratio of two cells of a row."""
    if " / " in column:
        one, other = column.split(" / ")
        return ratio(1, 0)(cell(table, one, row), cell(table, other, row), table.seeds)
    cells = table.rows[table.labels.index(named(row, table.labels))]
    text = cells[named(column, list(cells))]
    if (parts := CELL.fullmatch(text)) is None:
        raise InputError(f"{row}, {column}: not a number: {text}")
    return Value(rounded(parts["mean"]), rounded(parts["deviation"]) if parts["deviation"] else None)


def difference(one: Value, other: Value, seeds: int) -> Value:
    """One less the other, with half of Welch's interval."""
    number = one.number[0] - other.number[1], one.number[1] - other.number[0]
    if one.spread is None or other.spread is None or seeds < 2:
        return Value(number)
    pairs = product([max(0.0, bound) for bound in one.spread], [max(0.0, bound) for bound in other.spread])
    halves = [Difference.welch(0, [(a * a, seeds), (b * b, seeds)]).interval[1] for a, b in pairs]
    return Value(number, (min(halves), max(halves)))


def ratio(scale: float, less: float) -> Callable[[Value, Value, int], Value]:
    """One over the other."""

    def of(one: Value, other: Value, seeds: int) -> Value:
        quotients = [scale * (a / b - less) for a, b in product(one.number, other.number)]
        return Value((min(quotients), max(quotients)))

    return of


OPERATIONS = {" +% ": ratio(100, 1), " % ": ratio(100, 0), " / ": ratio(1, 0), " - ": difference}


def evaluate(source: str, page: Path) -> list[Value]:
    """The value of a source, or several."""
    table_name, column, formula = (part.strip() for part in " ".join(source.split()).split(";"))
    table = read_table(table_name, page)
    if column == "sentence":
        numbers = set(re.findall(re.escape(formula).replace("\\#", f"({NUMBER})"), table.text))
        if len(numbers) != 1:
            raise InputError(f"{page}: {source}: no such sentence, or several")
        return [Value(rounded(numbers.pop()))]
    extreme, _, rest = formula.partition(" ")
    values = [term(table, column, part.strip()) for part in (rest if extreme in EXTREMES else formula).split("&")]
    if extreme in EXTREMES:
        return [Value(EXTREMES[extreme]((value.number for value in values), key=fmean))]
    return values


def term(table: Table, column: str, formula: str) -> Value:
    """A cell, or two of them and an operation."""
    for sign, operation in OPERATIONS.items():
        one, found, other = formula.partition(sign)
        if found:
            return operation(cell(table, column, one), cell(table, column, other), table.seeds)
    return cell(table, column, formula)


def filled_number(shown: str, bounds: Bounds) -> str:
    """The number as it is, if the bounds allow it at its decimals; else the middle of the bounds."""
    decimals = len(shown.partition(".")[2])
    low, high = (round(bound, decimals) for bound in bounds)
    if low <= float(shown.replace(",", "").replace("−", "-")) <= high:
        return shown
    form = f"{'+' if shown[0] in '−+' else ''}{',' if ',' in shown else ''}.{decimals}f"
    return f"{fmean(bounds):{form}}".replace("-", "−")


def filled_text(shown: str, values: list[Value]) -> str:
    """`35 ± 7`, `± 7`, `34 to 45` or `35` with the numbers of values."""
    numbers = re.findall(NUMBER, shown)
    if "to" in shown:
        return filled_in(shown, [pick((value.number for value in values), key=fmean) for pick in (min, max)])
    for value in values:
        bounds = [value.number, value.spread] if "±" in shown else [value.number]
        if None in bounds:
            raise InputError(f"{shown}: its source has no deviation, and no interval")
        shown = filled_in(shown, [pair for pair in bounds[-len(numbers) :] if pair is not None])
    return shown


def filled_in(shown: str, bounds: list[Bounds]) -> str:
    """A text with its numbers replaced where the bounds do not allow them."""
    waiting = iter(bounds)
    return re.sub(SIGNED, lambda number: filled_number(number[0], next(waiting)), shown)


def filled_page(text: str, page: Path) -> str:
    """The text with its marked numbers filled."""

    def in_sentence(match: re.Match[str]) -> str:
        return filled_text(match["shown"], evaluate(match["source"], page)) + match["marker"]

    def in_row(match: re.Match[str]) -> str:
        table_name, columns, rows = (part.strip() for part in match["source"].split(";"))
        table = read_table(table_name, page)
        pairs = product(rows.split(", "), columns.split(", "))
        values = [cell(table, column, row) for row, column in pairs]
        shown = [(each.number, each.spread) if "±" in match["cells"] else (each.number,) for each in values]
        bounds = [pair for of_cell in shown for pair in of_cell if pair is not None]
        if len(bounds) != len(re.findall(NUMBER, match["cells"])):
            raise InputError(f"{page}: {match['marker']}: {len(bounds)} values; its line has other numbers, too")
        return match["marker"] + filled_in(match["cells"], bounds)

    markers = text.count("<!-- = ")
    text, count = MARKER.subn(in_sentence, text)
    if count < markers:
        raise InputError(f"{page}: {markers - count} markers have no number before them")
    return ROW_MARKER.sub(in_row, text)


def wrong_numbers(page: Path) -> list[str]:
    """Each line of a page that has another number than its source, as it should be."""
    text = page.read_text(encoding="utf-8")
    pairs = zip(text.splitlines(), filled_page(text, page).splitlines(), strict=True)
    return [f"{page}: should be: {right}" for line, right in pairs if line != right]


def pages() -> list[Path]:
    return [DOCS.parent / "README.md", *sorted(DOCS.glob("*.md"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit code 1 if a number is wrong")
    parser.add_argument("pages", nargs="*", type=Path, metavar="PAGE")
    arguments = parser.parse_args()
    wrong = []
    for page in [path.resolve() for path in arguments.pages] or pages():
        wrong += wrong_numbers(page)
        if not arguments.check:
            write_text(page, filled_page(page.read_text(encoding="utf-8"), page))
    print("\n".join(wrong))
    sys.exit(bool(wrong) and arguments.check)


if __name__ == "__main__":
    main()
