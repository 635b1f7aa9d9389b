"""The table of claims as people read it: a line for each comparison, the sentences below."""

from typing import Any

import pandas as pd

from pipeline.tables.claims import NOT_MEASURED, ClaimsTable
from pipeline.tables.shown import Shown

HEADINGS = (
    ("Claim", ""),
    ("Section", ""),
    ("It says", ""),
    ("From the published tables", "recomputed"),
    ("From the published tables", "verdict"),
    ("Measured here", "recomputed"),
    ("Measured here", "verdict"),
    ("Measured here", "on"),
)


def shown_claims(table: ClaimsTable) -> Shown:
    """Cells, notes and the number of columns that are words."""
    rows = [_cells(row) for row in table.frame.to_dict("records")]
    cells = pd.DataFrame(rows, columns=pd.MultiIndex.from_tuples(HEADINGS), dtype=object)
    title = f"Claims of the paper's text (run {table.job.run})"
    return Shown(title, cells, _notes(table), f"{table.job.run}-claims", "lll" + "l" * 5)


def _cells(row: dict[Any, Any]) -> list[str]:
    measured = row["text_measured"] or row["on_other_features"]
    keys = ("claim", "section", "says", "text_published", "verdict_published")
    return [_text(row[key]) for key in keys] + [_text(measured), row["verdict_measured"], _text(row["measured_on"])]


def _text(cell: Any) -> str:
    return "" if cell is None or cell != cell else str(cell)


def _notes(table: ClaimsTable) -> list[str]:
    notes = [
        "Each number is recomputed from the published tables, and from what this run measured or counted: from the row"
        " that is the paper's own experiment, else from the run's first row of the same method (Tables 7 and 8: with"
        " the same C_key, with the larger or smaller block) on the dataset named. A verdict on other images says"
        " whether the same holds there, not that the paper's number is wrong.",
        "An advantage holds where it is at least the asserted one, a cost where it is at most that, each within the"
        " tolerance that the csv has; the csv has both rows and both numbers too.",
    ]
    if (table.frame["verdict_measured"] == NOT_MEASURED).any():
        notes.append(
            "not measured here: the run has no such row, or not that metric. A metric on EfficientNet-Lite0's features"
            " is another one: it is shown under its own name and decides nothing."
        )
    return notes + [
        f"Claim {index} (section {section}): “{sentence}”"
        if section[0].isdigit()
        else f"Claim {index} ({section}): “{sentence}”"
        for index, (section, sentence) in enumerate(table.sentences, start=1)
    ]
