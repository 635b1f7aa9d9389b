"""How a table is read: what to look at in it, and which entry of the config each row comes from."""

from pipeline.tables.build import Table, identity
from pipeline.tables.display import is_shown
from pipeline.tables.layout import HEADINGS
from pipeline.tables.quantities import Quantity

NAMED = 3
"""So many columns are named of those that are alike; the others are counted."""
BETTER = {"↓": "lower is better in", "↑": "higher is better in"}
CHEAPER = "less is cheaper in"


def look(table: Table) -> str:
    """What to compare in which columns, in one line: from the layout's quantities and from what differs in its rows."""
    columns: dict[str, list[str]] = {}
    for quantity in table.layout.quantities:
        if is_shown(table, quantity) and (words := _direction(quantity)):
            columns.setdefault(words, []).append(quantity.name)
    ordered = [words for words in (*BETTER.values(), CHEAPER) if words in columns]
    told = "; ".join(f"{words} {_listed(columns[words])}" for words in ordered)
    return f"Rows of one dataset, by {_told_apart(table)}{': ' if told else ''}{told}."


def _direction(quantity: Quantity) -> str:
    """Which way is better, by the arrow of its label; counts without one are costs; "" where neither is better."""
    return BETTER.get(quantity.label[-1], CHEAPER if quantity.kind == "complexity" else "")


def _told_apart(table: Table) -> str:
    """The columns of the layout's identity in which rows differ, as "Method and Code size"."""
    rows = [identity(line, table) for line in table.lines]
    differing = [key for key in table.layout.identity if len({row[key] for row in rows}) > 1 and key != "dataset"]
    return _listed([HEADINGS[key] for key in differing or ["method"]])


def _listed(names: list[str]) -> str:
    if len(names) > NAMED:
        names = [*names[:NAMED], f"{len(names) - NAMED} more"]
    return " and ".join([", ".join(names[:-1])] * (len(names) > 1) + names[-1:])


def entries(table: Table) -> list[str | None]:
    """The entry of the config that each line was measured or counted from, as `samples.main`; None for the others."""
    section = "samples" if table.layout.kinds == {"generation"} else "autoencoders"
    measured = [line.measurement for line in table.lines]
    return [None if one is None else f"{section}.{one.name}" for one in measured]
