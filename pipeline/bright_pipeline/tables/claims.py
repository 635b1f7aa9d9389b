"""The table of claims: each number that the paper's text asserts, recomputed from published and from measured tables.

The claims are in published/claims.yaml. The other tables are read as csv, which has the published numbers as
printed and the measured ones in full precision.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from pydantic import Field

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.base.parsing import parse_settings
from bright_pipeline.base.yaml_files import read_yaml
from bright_pipeline.settings.fields import Section
from bright_pipeline.settings.quantities import NOTES, Quantity
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages.tables import TableJob
from bright_pipeline.tables.build import MEASURED, measured_column
from bright_pipeline.tables.differences import FEWEST_SEEDS, Difference
from bright_pipeline.tables.display import cell_text, rounded
from bright_pipeline.tables.display_table import NOT_MEASURED, VERDICT_HERE, DisplayTable, display_table
from bright_pipeline.tables.pairing import printed_decimals, row_name
from bright_pipeline.tables.render import FramedTable

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
NOT_PUBLISHED = "not in the tables"
SLACK = 1e-9  # differences of printed decimals are not exact in binary
# The same kind of metric on other features: shown under its own name, without a verdict.
ON_OTHER_FEATURES = {"fid": "fd", "is": "score", "precision": "precision", "recall": "recall"}

# Heading of a displayed column -> column of the csv.
HEADINGS = {
    ("Verdict", "paper's tables"): "verdict_published",
    VERDICT_HERE: "verdict_measured",
    ("It says", ""): "says",
    ("Recomputed from", "paper's tables"): "text_published",
    ("Recomputed from", "this run"): "text_measured",
    ("Recomputed from", "on"): "measured_on",
    ("Claim", ""): "claim",
    ("Section", ""): "section",
}

Cells = dict[str, str]  # a line of a csv
Tables = dict[str, list[Cells]]
Outcome = dict[str, Any]  # a recomputed comparison: the columns of OUTCOME, and the dataset
OUTCOME = ("ours", "other", "ours_row", "other_row", "recomputed", "text", "verdict")

InSize = Literal["lower_by_percent", "higher_by_percent", "costs_percent_more", "costs_more"]
Relation = InSize | Literal["lower", "higher", "alike", "is", "at_most"]


class ClaimRow(Section):
    """A published row of another table, and how to find its counterpart in a run on other images."""

    table: str
    method: str
    columns: dict[str, str] = Field({}, description="Further columns of the published row.")
    elsewhere: dict[str, str] = Field({}, description="Columns of a measured row on other images.")
    order: str = Field("", description="Among those: the row with the smallest (`-COLUMN`: largest) in this column.")


class Comparison(Section):
    """One number against another, or against the number in the text."""

    says: str
    quantities: list[str] = Field(min_length=1, description="Added up; all but the first may be absent, as zero.")
    relation: Relation
    ours: str
    other: str | None = None
    asserted: float | None = None
    tolerance: float = Field(0, ge=0)


class Claim(Section):
    """A sentence of the paper, its section, and the comparisons that would confirm it."""

    section: str
    sentence: str
    comparisons: list[Comparison] = Field(min_length=1)


class ClaimList(Section):
    """All claims, and the rows that they compare."""

    rows: dict[str, ClaimRow]
    claims: list[Claim]


def read_claims(folder: Path) -> ClaimList:
    path = folder / "claims.yaml"
    return parse_settings(ClaimList, read_yaml(path, f"claims {path}"), f"claims {path}")


class Number(NamedTuple):
    """A quantity of a row: value, text and row; what was trained has training seeds and their standard deviation."""

    value: float
    text: str
    row: Cells
    seeds: int | None = None
    std: float = 0.0

    @property
    def name(self) -> str:
        """The row's name in the config; a published row's method and code size."""
        return self.row.get("name") or row_name(self.row)


def build_claims(job: TableJob, tables: Sequence[tuple[str, Path]], published_folder: Path) -> FramedTable:
    """A line for each comparison of each claim, from the csv of the other tables by name."""
    read: Tables = {}
    for name, path in tables:
        with readable(f"table {path}: a csv of make_table is needed"):
            frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if "source" not in frame or "method" not in frame:
            raise InputError(f"table {path}: lacks source or method; its columns: {', '.join(frame)}")
        read[name] = [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]
    listed = read_claims(published_folder)
    records = [
        {"claim": index, "section": claim.section, "sentence": claim.sentence} | _record(comparison, listed.rows, read)
        for index, claim in enumerate(listed.claims, start=1)
        for comparison in claim.comparisons
    ]
    frame = pd.DataFrame(records, dtype=object)
    return FramedTable(job, frame, display_claims(frame))


def _record(comparison: Comparison, rows: dict[str, ClaimRow], tables: Tables) -> dict[str, Any]:
    sides = [rows[name] for name in (comparison.ours, comparison.other) if name is not None]
    numbers = (_numbers(_published_rows(side, tables), comparison, side, is_measured=False) for side in sides)
    published = _outcome(comparison, [next(of_side, None) for of_side in numbers])  # of the first row that has one
    measured = _from_measured(comparison, sides, tables)
    on_other_features = None
    key, *further = comparison.quantities
    if measured is None and not further and key in ON_OTHER_FEATURES:
        other = f"{ON_OTHER_FEATURES[key]}_efficientnet_lite0"
        outcome = _from_measured(comparison.model_copy(update={"quantities": [other]}), sides, tables)
        on_other_features = outcome and f"{_quantity(sides[0].table, other).name}: {outcome['text']}"
    return {
        "says": comparison.says,
        "quantities": " + ".join(comparison.quantities),
        "relation": comparison.relation,
        "asserted": comparison.asserted,
        "tolerance": comparison.tolerance,
        **{f"{key}_published": (published or {"verdict": NOT_PUBLISHED}).get(key) for key in OUTCOME},
        **{f"{key}_measured": (measured or {"verdict": NOT_MEASURED}).get(key) for key in OUTCOME},
        "measured_on": measured["dataset"] if measured else None,
        "on_other_features": on_other_features,
    }


def _from_measured(comparison: Comparison, sides: list[ClaimRow], tables: Tables) -> Outcome | None:
    """The outcome from the rows that are the paper's experiment, else from their counterparts on other images."""
    for rows_of in (_published_rows, _counterparts):
        candidates = [list(_numbers(rows_of(side, tables), comparison, side)) for side in sides]
        for numbers in product(*candidates):
            if rows_of is _published_rows or len({number.row.get("dataset") for number in numbers}) == 1:
                return _outcome(comparison, numbers)
    return None


def _published_rows(row: ClaimRow, tables: Tables) -> list[Cells]:
    """The published rows of a claim, and the measured rows that belong to them."""
    wanted = row.columns | {"method": row.method}
    rows = (cells for cells in tables.get(row.table, []) if cells["source"] != MEASURED)
    return [cells for cells in rows if all(cells.get(key) == value for key, value in wanted.items())]


def _counterparts(row: ClaimRow, tables: Tables) -> list[Cells]:
    """Measured rows of the same method on other images, in the order in which the claim takes them."""
    method, words = _method(row.method)
    rows = []
    for cells in tables.get(row.table, []):
        base, variant = _method(cells["method"])
        is_same = cells["source"] == MEASURED and base == method and words <= variant
        if is_same and all(cells.get(key) == value for key, value in row.elsewhere.items()):
            rows.append(cells)
    column, sign = row.order.removeprefix("-"), -1 if row.order.startswith("-") else 1
    return sorted(rows, key=lambda cells: sign * float(cells.get(column) or 0)) if column else rows


def _method(text: str) -> tuple[str, set[str]]:
    """`BRIGHT (without noise, ...)` as the method and the words for its variant."""
    base, _, words = text.removesuffix(")").partition(" (")
    return base, {word for word in words.split(", ") if word}


def _quantity(table: str, key: str) -> Quantity:
    return next(quantity for quantity in TABLES[table].quantities if quantity.key == key)


def _numbers(rows: list[Cells], comparison: Comparison, row: ClaimRow, is_measured: bool = True) -> Iterator[Number]:
    """The measured or the published number of each row that has one."""
    columns = [f"{key}_published" for key in comparison.quantities]
    first, *_ = quantities = [_quantity(row.table, key) for key in comparison.quantities]
    if is_measured:
        columns = [measured_column(quantity, next(iter(quantity.measured))) for quantity in quantities]
    for cells in rows:
        texts = [cells.get(column, "") for column in columns]
        if texts[0]:
            value, digits = sum(float(text) for text in texts if text), (printed_decimals(texts), 0)
            seeds: tuple[int | None, float] = (None, 0.0)
            if is_measured:
                digits = first.decimals, first.significant
                if first.kind.of_training:
                    count, std = (cells.get(f"{first.key}_measured_{name}") for name in ("seeds", "seed_std"))
                    seeds = int(count or 1), float(std or 0)
            yield Number(value, rounded(value, *digits), cells, *seeds)


def _outcome(comparison: Comparison, sides: Sequence[Number | None]) -> Outcome | None:
    """The relation between the two numbers, by the csv's columns, and the dataset; None where one is absent."""
    ours, other = (*sides, None)[:2]
    if ours is None or (other is None and comparison.other is not None):
        return None
    second, asserted = other.value if other else 0.0, comparison.asserted or 0.0
    # The recomputed number, its text unless it is one of the two sides, and the margin by which the claim holds.
    number, text, scale = ours.value - second, "", 1.0
    match comparison.relation:
        case "lower_by_percent" | "higher_by_percent" | "costs_percent_more" as relation:
            scale = 100 / second
            number = scale * (second - ours.value if relation == "lower_by_percent" else number)
            text = f"{rounded(number, 1)}%"
            margin = asserted - number if relation == "costs_percent_more" else number - asserted
        case "costs_more" | "at_most" as relation:
            text, margin = rounded(number, 1, 3) if relation == "costs_more" else "", asserted - number
        case "lower" | "higher" as relation:
            margin = number if relation == "higher" else -number
        case "alike":
            margin = asserted - abs(number)
        case "is":
            margin = -abs(number - asserted)
    holds = margin > 0 if comparison.relation in ("lower", "higher") else margin >= -comparison.tolerance - SLACK
    against = f"{ours.text} against {other.text}" if other else ""
    words = f"{text} ({against})" if text else against or ours.text
    rows = (ours.value, other and other.value, ours.name, other and other.name)
    verdict = _doubt([ours, *([other] if other else [])], margin, scale) or (HOLDS if holds else FAILS)
    return dict(zip(OUTCOME, (*rows, number, words, verdict), strict=True)) | {"dataset": ours.row.get("dataset")}


def _doubt(sides: list[Number], margin: float, scale: float) -> str:
    """Why a margin, in units of 1 / scale, gives no verdict: too few trainings, or their spread; "" if it gives one."""
    parts = [((side.std * scale) ** 2, side.seeds) for side in sides if side.seeds is not None]
    fewest = min((seeds for _, seeds in parts), default=FEWEST_SEEDS)
    if fewest < FEWEST_SEEDS:
        return "one training: no verdict" if fewest == 1 else f"{fewest} trainings: no verdict"
    low, high = Difference.welch(margin, parts).interval
    return UNDECIDED if low < 0 < high else ""


def display_claims(frame: pd.DataFrame) -> DisplayTable:
    """The table as people read it: a line for each comparison, the sentences in the notes."""
    frame = frame.assign(text_measured=frame["text_measured"].fillna(frame["on_other_features"]))
    notes = [note.format(fewest=FEWEST_SEEDS) for note in NOTES["claims"]]
    notes += [NOTES["claims_without_number"]] if (frame["verdict_measured"] == NOT_MEASURED).any() else []
    for index, section, sentence in frame[["claim", "section", "sentence"]].drop_duplicates().itertuples(index=False):
        where = f"section {section}" if section[0].isdigit() else section
        notes.append(f"Claim {index} ({where}): “{sentence}”")
    return display_table(
        "Claims of the paper's text",
        {heading: [cell_text(cell) for cell in frame[column]] for heading, column in HEADINGS.items()},
        notes,
        [None] * len(frame),
        hint="A verdict on each number in the paper's text, from the published tables and from this run.",
        alignment="l" * len(HEADINGS),
    )
