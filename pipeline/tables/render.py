"""A built table as csv (machines), Markdown and LaTeX (people), json (the page): the same table, the same bytes."""

import json

import pandas as pd

from pipeline.tables.build import Table
from pipeline.tables.display import display
from pipeline.tables.footnotes import footnotes, title

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "±": r"$\pm$",
    "−": "$-$",
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
}


def to_csv(table: Table) -> str:
    """One line per row, full precision, published strings as printed; nothing is an empty cell."""
    return table.frame.to_csv(index=False, lineterminator="\n")


def to_markdown(table: Table) -> str:
    """Title, table, footnotes."""
    shown = display(table)
    shown.columns = pd.Index([" ".join(part for part in parts if part) for parts in shown.columns])
    shown = shown.map(escape_markdown).rename(columns=escape_markdown)
    body = shown.to_markdown(index=False, disable_numparse=True)
    notes = "\n".join(f"- {escape_markdown(note)}" for note in footnotes(table))
    return f"# {escape_markdown(title(table))}\n\n{body}\n\n{notes}\n"


def to_json(table: Table) -> str:
    """What the other two show, in parts: title, columns as (quantity, part), rows of strings, footnotes."""
    shown = display(table)
    told = {
        "title": title(table),
        "columns": [list(column) for column in shown.columns],
        "rows": shown.to_numpy().tolist(),
        "notes": footnotes(table),
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def escape_markdown(text: str) -> str:
    """Keep a cell's bars and stars from being read as marks."""
    return text.replace("|", r"\|").replace("*", r"\*")


def to_latex(table: Table) -> str:
    """A table environment for `booktabs`, captioned and labelled, its footnotes below the tabular."""
    shown = display(table).map(escape_latex)
    shown.columns = pd.MultiIndex.from_tuples(
        [(escape_latex(first), escape_latex(second)) for first, second in shown.columns]
    )
    identity = sum(second == "" for _, second in shown.columns) - 1
    text = (
        shown.style.hide(axis="index")
        .to_latex(
            hrules=True,
            column_format="l" * identity + "r" * (shown.shape[1] - identity - 1) + "l",
            multicol_align="c",
            position="htbp",
            position_float="centering",
            caption=escape_latex(title(table)),
            label=f"tab:{table.job.run}-{table.job.table}".replace("_", "-"),
            environment="table*",
        )
        .replace("\\begin{tabular}", "\\resizebox{\\textwidth}{!}{%\n\\begin{tabular}", 1)
        .replace("\\end{tabular}", "\\end{tabular}}", 1)
    )
    notes = "".join(f"\\item {escape_latex(note)}\n" for note in footnotes(table))
    below = f"\\begin{{itemize}}\\footnotesize\n{notes}\\end{{itemize}}\n\\end{{table*}}"
    return "% Needs \\usepackage{booktabs} and \\usepackage{graphicx}.\n" + text.replace("\\end{table*}", below, 1)


def escape_latex(text: str) -> str:
    """Characters that LaTeX would read as commands, and those that its text fonts lack."""
    return "".join(LATEX.get(character, character) for character in text)
