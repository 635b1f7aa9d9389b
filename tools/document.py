"""Put a run's tables and figures into a Markdown page, such as docs/comparison.md, and fill its sentences' numbers.

    python tools/document.py CONFIG PAGE

The page's appendix, such as docs/comparison-tables.md, is filled with it. A block is the text between
`<!-- table NAME -->` or `<!-- figure NAME -->` and the next `<!-- end -->`. For numbers in sentences see
`page_numbers.py`.
"""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import logger
from bright_pipeline.config.root import read_config
from bright_pipeline.engine.atomic import atomic_path, write_text
from bright_pipeline.engine.checksums import problem
from bright_pipeline.page.comparison import differences
from bright_pipeline.plan.publish import recorded_config
from bright_pipeline.settings.figures import FIGURES
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.tables import CLAIMS, CLAIMS_CAPTION, STUDY_CAPTION, tables
from bright_pipeline.tables.display_table import DisplayCell, DisplayTable, read_display
from bright_pipeline.tables.render import escape_markdown
from bright_pipeline.tables.studies import BEST, LOSS
from page_numbers import appendix, filled_page
from tabulate import tabulate

TABLE_CAPTIONS = {name: table.caption for name, table in TABLES.items()} | {CLAIMS: CLAIMS_CAPTION}
BLOCK = re.compile(
    r"(?P<begin><!-- (?P<kind>table|figure) (?P<name>[\w-]+) -->)(?P<content>.*?)"
    r"(?:(?P<end><!-- end -->)|(?=<!-- (?:table|figure) [\w-]+ -->)|\Z)",
    re.DOTALL,
)
LONG, SHOWN = 20, 10  # of a table with more rows: a link to its csv, and the most relevant rows

Fill = Callable[[str, str, str], str | None]  # kind, name and content of a block -> its new content; None keeps it


def document(
    config: Annotated[Path, typer.Argument(help="The run's config file.")],
    text: Annotated[Path, typer.Argument(help="The Markdown page; pictures go to images/ beside it.")],
) -> None:
    """Fill each block `<!-- table NAME -->` or `<!-- figure NAME -->`, up to its `<!-- end -->`, with that result.

    Then fill the marked numbers of its sentences; likewise in the page's appendix. Several runs may fill one page: a
    block keeps its content, with a warning, if its result is missing, damaged or of another run.
    """
    jobs = Jobs(read_config(config))
    made, started_with = {"table": jobs(tables), "figure": jobs(figures)}, recorded_config(jobs) or config

    def fill(kind: str, name: str, content: str) -> str | None:
        job = made[kind].get(name)
        if job is None and content.strip():
            logger.warning("%s %s stays as it is: %s has none", kind, name, config)
            return None
        if job is None:
            raise InputError(f"{text}: {kind} {name}: {config} has none; it has {', '.join(made[kind])}")
        problems = (why for path in job.outputs if (why := problem(Path(path))) is not None)
        if (why := next(problems, None) if job.complete else f"{job.folder} is not made yet") is not None:
            logger.warning("%s %s stays as it is: %s", kind, name, why)
            return None
        logger.info("%s %s: %s", kind, name, job.name)
        by = f"the target `{name if kind == 'table' else 'figures'}` of `{started_with}`, as `{job.name}`"
        if kind == "table":
            table = read_display(Path(job.path("table.json")), name, Path(job.path("table.tex")))
            csv = (
                copied(job.path("table.csv"), f"csv/{jobs.config.run}-{name}.csv") if len(rows_of(table)) > LONG else ""
            )
            return table_block(table, TABLE_CAPTIONS.get(name, STUDY_CAPTION), by, csv)
        figure, picture = FIGURES[name], copied(job.path("figure.png"), f"images/{jobs.config.run}-{name}.png")
        return f"**{figure.title}.** {figure.caption}\n\n![{figure.title}]({picture})\n\nMade by {by}."

    def copied(path: str, name: str) -> str:
        """Copy a file beside the document; its path from there."""
        copy = text.parent / name
        if copy.parent.exists() and not copy.parent.is_dir():
            raise InputError(f"{copy.parent}: is a file, but must be the folder of the document's files")
        with atomic_path(copy) as temporary:
            shutil.copyfile(path, temporary)
        return name

    pages = [text, *filter(Path.exists, [appendix(text)])]
    for page in pages:
        try:
            content = page.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{page}: not a text that can be read ({error}); a Markdown file with blocks") from None
        write_text(page.resolve(), filled(content, fill, str(page)))
    for page in pages:
        write_text(page.resolve(), filled_page(page.read_text(encoding="utf-8"), page))


def filled(text: str, fill: Fill, where: str) -> str:
    """The document with `fill`'s content in each block, all else unchanged; InputError for a block without an end."""

    def replaced(block: re.Match[str]) -> str:
        if block["end"] is None:
            line = text.count("\n", 0, block.start()) + 1
            raise InputError(f"{where}, line {line}: {block['begin']} has no <!-- end --> behind it")
        inside = fill(block["kind"], block["name"], block["content"])
        return block["begin"] + (block["content"] if inside is None else f"\n{inside.strip()}\n") + block["end"]

    return BLOCK.sub(replaced, text)


def table_block(table: DisplayTable, caption: str, made_by: str, csv: str = "") -> str:
    """The measured rows of a table and their differences; of a long table ten rows, and the path of its csv."""
    parts = [f"**{escape_markdown(table.title)}.** {caption}"]
    rows, which = most_relevant(table) if csv else (rows_of(table), "")
    parts += [f"[All {len(rows_of(table))} rows]({csv}) are in a csv file; these are {which}."] * bool(csv)
    parts += [_cells(table, rows), *_differences(table)]
    if notes := [f"- {escape_markdown(note)}" for note in table.remarks]:
        parts.append(_folded("Notes and protocols", "\n".join(notes)))
    return "\n\n".join(part for part in [*parts, f"Made by {made_by}."] if part)


def _differences(table: DisplayTable) -> list[str]:
    """The significant differences from the first row as a table, what they are, and the number of the others."""
    found, note = differences(table)
    kept = {
        label: {name: f"**{text}**" for name, (text, is_significant) in of_row.items() if is_significant}
        for label, of_row in found.items()
    }
    names = [name for name in dict(table.columns) if any(name in of_row for of_row in kept.values())]
    rows = [[escape_markdown(label), *map(of_row.get, names)] for label, of_row in kept.items() if of_row]
    headings = ["Difference", *map(escape_markdown, names)]
    if found:
        compared, shown = (sum(map(len, of_rows.values())) for of_rows in (found, kept))
        note += f" Not significant, and not shown: {compared - shown} of {compared}."
    return [tabulate(rows, headings, tablefmt="pipe", disable_numparse=True) if rows else "", escape_markdown(note)]


def _folded(summary: str, text: str) -> str:
    """Text that opens on a click."""
    return f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"


def rows_of(table: DisplayTable) -> list[list[DisplayCell]]:
    """The rows of a document: those of this run."""
    return table.measured_rows() if table.has_numbers else table.rows


def most_relevant(table: DisplayTable) -> tuple[list[list[DisplayCell]], str]:
    """Ten rows and the words for them: of a study the best trial of each autoencoder, then those of the lowest loss."""
    if (BEST, "") not in table.columns:
        return rows_of(table)[:SHOWN], f"the first {SHOWN}"
    ranked = sorted(table.rows, key=lambda row: (not table.cell(row, BEST).text, table.cell(row, LOSS).number or 0.0))
    return ranked[:SHOWN], f"the best trial of each autoencoder, then the trials with the lowest loss, {SHOWN} in all"


def _cells(table: DisplayTable, rows: list[list[DisplayCell]]) -> str:
    """These rows: the columns in which they differ, and every quantity that one of them has."""
    measured = [place for place, (_, part) in enumerate(table.columns) if part.startswith("measured")]
    numbers = [place for place in measured if any(row[place].number is not None for row in rows)]
    words = table.identity if table.has_numbers else [one for one in range(len(table.columns)) if one != table.subject]
    differing = [place for place in words if len({row[place] for row in rows}) > 1]
    places = [table.subject, *differing, *numbers]
    # Behind the quantity stands its variant, such as the convention of a count.
    headings = [f"{name} {part.partition(' ')[2]}".rstrip() for name, part in (table.columns[at] for at in places)]
    body = [[escape_markdown(str(row[place])) for place in places] for row in rows]
    to_the_left = [table.subject, *(differing if table.has_numbers else ())]
    sides = ["left" if place in to_the_left else "right" for place in places]
    return tabulate(body, list(map(escape_markdown, headings)), tablefmt="pipe", disable_numparse=True, colalign=sides)


if __name__ == "__main__":
    run_stage(document)
