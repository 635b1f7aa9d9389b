"""A built table as csv (machines), Markdown and LaTeX (people), json (the page): the same table, the same bytes."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.base.atomic import write_text
from pipeline.base.progress import logger
from pipeline.tables.build import Table
from pipeline.tables.claims import ClaimsTable, shown_claims
from pipeline.tables.display import Shown, display
from pipeline.tables.footnotes import footnotes, title
from pipeline.tables.reading import entries, look
from pipeline.tables.studies import StudyTable, shown_study

MARKS = re.compile(r"[\\|*`<]|(?<=\])[(\[]|&(?=[#\w]+;)")
FORMULA = ("=", "+", "-", "@")  # how a formula begins
NUMBER = re.compile(r"[-+]?[\d.]+(e[-+]?\d+)?( |%|$)")
LATEX = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "≈": r"$\approx$",
    "∼": r"$\sim$",
    "×": r"$\times$",
    "ẑ": r"$\hat{z}$",
    "“": "``",
    "”": "''",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
}


AnyTable = Table | ClaimsTable | StudyTable


def _shown(table: AnyTable) -> Shown:
    """Words to the left, numbers to the right, the protocol last; every text is one line."""
    if isinstance(table, ClaimsTable):
        told = shown_claims(table)
    elif isinstance(table, StudyTable):
        told = shown_study(table)
    else:
        cells, words = display(table), len(table.layout.identity) + 1
        alignment = "l" * words + "r" * (cells.shape[1] - words - 1) + "l"
        told = Shown(title(table), cells, footnotes(table), alignment, look(table), entries(table))
    return told._replace(
        title=one_line(told.title), cells=told.cells.map(one_line), notes=list(map(one_line, told.notes))
    )


def write_table(
    table: AnyTable, csv: Path | None, markdown: Path | None, latex: Path | None, parts: Path | None
) -> None:
    """Write the forms of a table whose paths are given."""
    forms = ((csv, to_csv), (markdown, to_markdown), (latex, to_latex), (parts, to_json))
    for path, form in forms:
        if path is not None:
            write_text(path, form(table))
            logger.info("wrote %s", path)


def one_line(text: str) -> str:
    """A text without line breaks and signs that have no shape, which names and notes of a config may have."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def to_csv(table: AnyTable) -> str:
    """One line per row, full precision, published strings as printed; nothing is an empty cell."""
    texts = table.frame.select_dtypes(include=["object", "string"])
    safe = {name: pd.Series(list(map(no_formula, texts[name])), texts.index, object) for name in texts}
    return table.frame.assign(**safe).to_csv(index=False, lineterminator="\n")


def no_formula(value: Any) -> Any:
    """A cell that a spreadsheet takes for text where it would take it for a formula; numbers stay."""
    if not isinstance(value, str):
        return value
    text = one_line(value)
    return f"'{text}" if len(text) > 1 and text[0] in FORMULA and NUMBER.match(text) is None else text


def to_markdown(table: AnyTable) -> str:
    """Title, table, footnotes."""
    told = _shown(table)
    cells = told.cells.copy()
    cells.columns = pd.Index([" ".join(part for part in parts if part) for parts in cells.columns])
    cells = cells.map(escape_markdown).rename(columns=escape_markdown)
    body = cells.to_markdown(index=False, disable_numparse=True)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in told.notes)
    return f"# {escape_markdown(told.title)}\n\n{body}\n\n{notes}\n"


def to_json(table: AnyTable) -> str:
    """What the other two show, in parts: title, columns as (quantity, part), rows of strings, footnotes; and for the
    page what to look at, the config's entry of each row, whether ± is over training seeds."""
    parts = _shown(table)
    told = {
        "title": parts.title,
        "look": parts.look,
        "columns": [list(column) for column in parts.cells.columns],
        "rows": parts.cells.to_numpy().tolist(),
        "entries": parts.entries,
        "notes": parts.notes,
        "seeded": isinstance(table, Table) and table.seeded,
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def escape_markdown(text: str) -> str:
    """Keep what stands in a cell from being read as marks, links or HTML."""
    return MARKS.sub(r"\\\g<0>", text)


def to_latex(table: AnyTable) -> str:
    """A table environment for `booktabs`, captioned and labelled, its footnotes below the tabular."""
    told = _shown(table)
    cells = told.cells.map(escape_latex)
    cells.columns = pd.MultiIndex.from_tuples([tuple(map(escape_latex, parts)) for parts in cells.columns])
    text = (
        cells.style.hide(axis="index")
        .to_latex(
            hrules=True,
            column_format=told.alignment,
            multicol_align="c",
            position="htbp",
            position_float="centering",
            caption=escape_latex(told.title),
            label=f"tab:{table.job.table}".replace("_", "-"),
            environment="table*",
        )
        .replace("\\begin{tabular}", "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}", 1)
        .replace("\\end{tabular}", "\\end{tabular}}", 1)
    )
    notes = "".join(f"\\item {escape_latex(note)}\n" for note in told.notes)
    below = f"\\begin{{itemize}}\\footnotesize\n{notes}\\end{{itemize}}\n\\end{{table*}}"
    return "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n" + text.replace("\\end{table*}", below, 1)


def escape_latex(text: str) -> str:
    """Characters that LaTeX would read as commands, and those that its text fonts lack."""
    return "".join(LATEX.get(character, character) for character in text)
