"""A table as csv (machines), Markdown and LaTeX (people) and json (the page); the same table gives the same bytes."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from tabulate import tabulate

from bright_pipeline.base.progress import logger
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.stages.tables import StudyJob, TableJob
from bright_pipeline.tables.build import BuiltTable
from bright_pipeline.tables.display import display
from bright_pipeline.tables.display_table import TABLE, DisplayTable, one_line

MARKS = re.compile(r"[\\|*`<]|(?<=\])[(\[]|&(?=[#\w]+;)")
FORMULA = ("=", "+", "-", "@")  # how a formula begins
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?( |%|$)")
TEXTS = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
SYMBOLS = {"±": "pm", "≈": "approx", "∼": "sim", "×": "times", "↓": "downarrow", "↑": "uparrow"}
LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {sign: rf"\text{name}{{}}" for sign, name in TEXTS.items()}
LATEX |= {sign: rf"$\{name}$" for sign, name in SYMBOLS.items()}
LATEX |= {"−": "$-$", "ẑ": r"$\hat{z}$", "“": "``", "”": "''"}


@dataclass(frozen=True)
class FramedTable:
    """The claims or a study: a table for machines, and as people read it."""

    job: TableJob | StudyJob
    frame: pd.DataFrame
    shown: DisplayTable


AnyTable = BuiltTable | FramedTable


def displayed(table: AnyTable) -> DisplayTable:
    """A table of any kind as people read it."""
    return table.shown if isinstance(table, FramedTable) else display(table)


def write_table(table: AnyTable, csv: Path | None, markdown: Path | None, tex: Path | None, parts: Path | None) -> None:
    """Write the forms of a table whose paths are given."""
    for path, form in ((csv, to_csv), (markdown, to_markdown), (tex, to_latex), (parts, to_json)):
        if path is not None:
            write_text(path, form(table))
            logger.info("wrote %s", path)


def to_csv(table: AnyTable) -> str:
    """One line per row in full precision, published strings as printed; an absent value is an empty cell."""
    texts = table.frame.select_dtypes(include=["object", "string"])
    safe = {name: pd.Series(list(map(no_formula, texts[name])), texts.index, object) for name in texts}
    return table.frame.assign(**safe).to_csv(index=False, lineterminator="\n")


def no_formula(value: Any) -> Any:
    """A cell that a spreadsheet reads as text and not as a formula; numbers stay."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if len(text) > 1 and text[0] in FORMULA and NUMBER.match(text) is None else text


def to_markdown(table: AnyTable) -> str:
    """Title, table, footnotes."""
    shown = displayed(table)
    headings = [escape_markdown(" ".join(filter(None, heading))) for heading in shown.columns]
    cells = [[escape_markdown(str(cell)) for cell in row] for row in shown.rows]
    body = tabulate(cells, headings, tablefmt="pipe", disable_numparse=True)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in shown.notes)
    return f"# {escape_markdown(shown.title)}\n\n{body}\n\n{notes}\n"


def to_json(table: AnyTable) -> str:
    return TABLE.dump_json(displayed(table), indent=1, exclude={"alignment", "name", "latex"}).decode() + "\n"


def escape_markdown(text: str) -> str:
    """Keep a cell's text from being read as marks, links or HTML."""
    return MARKS.sub(r"\\\g<0>", text)


def to_latex(table: AnyTable) -> str:
    """A table environment for `booktabs`, captioned and labelled, its footnotes below the tabular."""
    shown = displayed(table)
    cells = pd.DataFrame([[escape_latex(str(cell)) for cell in row] for row in shown.rows], dtype=object)
    cells.columns = pd.MultiIndex.from_tuples([tuple(map(escape_latex, heading)) for heading in shown.columns])
    text = (
        cells.style.hide(axis="index")
        .to_latex(
            hrules=True,
            column_format=shown.alignment,
            multicol_align="c",
            position="htbp",
            position_float="centering",
            caption=escape_latex(shown.title),
            label=f"tab:{table.job.table}".replace("_", "-"),
            environment="table*",
        )
        .replace("\\begin{tabular}", "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}", 1)
        .replace("\\end{tabular}", "\\end{tabular}}", 1)
    )
    notes = "".join(f"\\item {escape_latex(note)}\n" for note in shown.notes)
    below = f"\\begin{{itemize}}\\footnotesize\n{notes}\\end{{itemize}}\n\\end{{table*}}"
    return "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n" + text.replace("\\end{table*}", below, 1)


def escape_latex(text: str) -> str:
    """Characters that LaTeX would read as commands, and those that its text fonts lack."""
    return "".join(LATEX.get(character, character) for character in text)
