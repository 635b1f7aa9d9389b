"""A table as people read it, whatever it was made from."""

from typing import NamedTuple

import pandas as pd

from pipeline.tables.build import Table
from pipeline.tables.display import display
from pipeline.tables.footnotes import footnotes, title


class Shown(NamedTuple):
    """Title, cells as strings under headings of two parts, notes, the label and the alignment of LaTeX."""

    title: str
    cells: pd.DataFrame
    notes: list[str]
    label: str
    alignment: str


def shown(table: Table) -> Shown:
    """One of the paper's tables: words to the left, numbers to the right."""
    cells = display(table)
    identity = sum(second == "" for _, second in cells.columns) - 1
    alignment = "l" * identity + "r" * (cells.shape[1] - identity - 1) + "l"
    return Shown(title(table), cells, footnotes(table), f"{table.job.run}-{table.job.table}", alignment)
