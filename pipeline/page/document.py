"""Tables and figures of a run in a Markdown document: each stands in a block of its own, which is filled anew.

A block is what lies between `<!-- table NAME -->` or `<!-- figure NAME -->` and the next `<!-- end -->`.
"""

import re
from collections.abc import Callable

from tabulate import tabulate

from pipeline.base.errors import InputError
from pipeline.page.comparison import comparison
from pipeline.page.page_table import PageTable
from pipeline.tables.render import escape_markdown

BEGIN = re.compile(r"<!-- (?P<kind>table|figure) (?P<name>[\w-]+) -->")
END = "<!-- end -->"
LONG = 30
"""Rows of a table that is shown as it is."""

Fill = Callable[[str, str], str | None]
"""Kind and name of a block -> what stands in it; None: what stands there stays."""


def filled(text: str, fill: Fill, where: str) -> str:
    """The document with what `fill` has for each block; everything else stays as it is.

    A block without an end is an InputError that names the document (`where`) and the block's line.
    """
    parts, place = [], 0
    while (begin := BEGIN.search(text, place)) is not None:
        end, other = text.find(END, begin.end()), BEGIN.search(text, begin.end())
        if end < 0 or (other is not None and other.start() < end):
            line = text.count("\n", 0, begin.start()) + 1
            raise InputError(f"{where}, line {line}: {begin.group()} has no {END} behind it")
        inside = fill(begin["kind"], begin["name"])
        kept = text[begin.end() : end] if inside is None else f"\n{inside.strip()}\n"
        parts += [text[place : begin.end()], kept]
        place = end
    return "".join([*parts, text[place:]])


def table_block(table: PageTable, caption: str, made_by: str) -> str:
    """The measured rows of a table and their comparison; published numbers are left out."""
    parts = [f"**{escape_markdown(table.title)}.** {caption}", comparison(table)]
    parts.append(_cells(table) if len(table.rows) <= LONG else _folded(f"All {len(table.rows)} rows", _cells(table)))
    if notes := [f"- {escape_markdown(note)}" for note in table.remarks]:
        parts.append(_folded("Notes and protocols", "\n".join(notes)))
    return "\n\n".join(part for part in [*parts, f"Made by {made_by}."] if part)


def _folded(summary: str, text: str) -> str:
    """What opens at a click, where Markdown is shown as a page."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def figure_block(title: str, caption: str, picture: str, made_by: str) -> str:
    """A picture below its title and caption."""
    return f"**{title}.** {caption}\n\n![{title}]({picture})\n\nMade by {made_by}."


def _cells(table: PageTable) -> str:
    """The measured rows: the columns in which they differ, and every quantity that one of them has."""
    rows = table.measured_rows() if table.has_numbers else table.rows
    measured = [place for place, (_, part) in enumerate(table.columns) if part.startswith("measured")]
    numbers = [place for place in measured if any(row[place].number is not None for row in rows)]
    words = table.identity if table.has_numbers else [one for one in range(len(table.columns)) if one != table.subject]
    differing = [place for place in words if len({row[place] for row in rows}) > 1]
    places = [table.subject, *differing, *numbers]
    # Behind the quantity stands its variant, such as the convention of a count.
    headings = [
        f"{name} {part.partition(' ')[2]}".rstrip() for name, part in (table.columns[place] for place in places)
    ]
    body = [[escape_markdown(str(row[place])) for place in places] for row in rows]
    to_the_left = [table.subject, *(differing if table.has_numbers else ())]
    sides = ["left" if place in to_the_left else "right" for place in places]
    return tabulate(body, list(map(escape_markdown, headings)), tablefmt="pipe", disable_numparse=True, colalign=sides)
