"""A built table as csv, Markdown and LaTeX."""

import csv
import io
import json
import re
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_summaries import (
    PUBLISHED_FOLDER,
    Built,
    church,
    codes,
    complexity,
    ffhq,
    generation,
    published_csv,
    reconstruction,
    reconstruction_distance,
    row_named,
    row_of,
)
from markdown_it import MarkdownIt

from pipeline.make_table import make_table
from pipeline.settings.tables import TABLES
from pipeline.tables.build import MEASURED
from pipeline.tables.display import rounded
from pipeline.tables.render import escape_latex, no_formula, to_csv, to_latex, to_markdown

COUNTS = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)


SUMMARIES: dict[str, list[dict[str, Any]]] = {
    "table2": [reconstruction("main"), church("c", "32x32x8")],
    "table3": [complexity("main", "fashion_mnist", "8x8x4"), complexity("c", "ffhq256", "16x16x16")],
    "table4": [reconstruction("main"), reconstruction("plain", code_noise="none")],
    "table5": [
        generation("main"),
        generation("gauss", sample_kind="gaussian_codes", method="Gaussian codes"),
        generation("real", sample_kind="real", method="Real images (train)"),
        *(ffhq("f", network) for network in ("inception", "clip", "vgg16")),
    ],
    "table6": [generation("main"), ffhq("f", "inception", dataset="lsun_church256")],
    "table7": [reconstruction("main"), COUNTS, complexity("c", "lsun_church256", "64x64x4")],
    "table8": [reconstruction("main"), COUNTS],
    "text_10k": [generation("main")],
    "section34": [codes("main"), codes("other", {"entries": None, "used_share": None})],
    "noise_generation": [generation("main")],
    "table_sizes": [codes("main"), reconstruction("main")],
    "ablations": [reconstruction("main"), COUNTS, reconstruction_distance("main"), generation("main")],
    "latent_diffusion": [reconstruction_distance("main"), generation("main")],
    "equal_budget": [reconstruction("main"), COUNTS],
}


def test_numbers_and_signs_have_their_forms(built: Built) -> None:
    assert escape_latex("50% of a_b & c#1 {x} ~ ^ $ \\end") == (
        r"50\% of a\_b \& c\#1 \{x\} \textasciitilde{} \textasciicircum{} \$ \textbackslash{}end"
    )
    assert rounded(-0.001, 2) == "0.00"
    assert rounded(0.0106076, 1, 3) == "0.0106"
    assert rounded(10.6076, 1, 3) == "10.6"
    table = built("table2", reconstruction("main"))
    row = row_named(table, "main")
    assert float(row["psnr_measured_std"]) == 2.1234567
    assert float(row["psnr_measured_two_std"]) == 2 * 2.1234567
    assert "23.81 ± 4.25" in to_markdown(table)
    assert r"23.81 $\pm$ 4.25" in to_latex(table)
    assert "14 ± 0.07" in to_markdown(table), "published spreads stay as printed"


@pytest.mark.parametrize("name", TABLES)
def test_every_table_is_made_twice_alike_in_three_forms(name: str, built: Built, tmp_path: Path) -> None:
    built(name, *SUMMARIES[name])
    summaries = [f"{one['name']}={tmp_path / f'{index}.json'}" for index, one in enumerate(SUMMARIES[name])]
    rows = {one["name"]: row_of(one) for one in SUMMARIES[name]}
    settings = json.dumps({"table": name, "rows": list(rows.values())})
    made = []
    for turn in ("first", "second"):
        files = [tmp_path / turn / f"{name}.{suffix}" for suffix in ("csv", "md", "tex")]
        make_table(settings, summaries, csv=files[0], markdown=files[1], latex=files[2], published=PUBLISHED_FOLDER)
        made.append([file.read_bytes() for file in files])
    assert made[0] == made[1]
    text, markdown, latex = (content.decode() for content in made[0])
    lines = list(csv.DictReader(io.StringIO(text)))
    in_paper = TABLES[name].in_paper
    assert len(lines) >= (len(published_csv(name)) if in_paper else 0) + 1
    assert any(line["source"] == MEASURED and line["dataset"] == "fashion_mnist" for line in lines)
    assert markdown.startswith("# ") and ("as published" in markdown) == in_paper
    assert_compiles_structurally(latex)


def assert_compiles_structurally(latex: str) -> None:
    """Braces and environments balance, rows have as many cells as columns, nothing is left unescaped."""
    bare = re.sub(r"\\[\\{}$&%#_]", "", latex.split("\n", 1)[1])
    assert bare.count("{") == bare.count("}") and bare.count("$") % 2 == 0
    environments: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{([a-z*]+)\}", latex):
        if kind == "begin":
            environments.append(name)
        else:
            assert environments.pop() == name
    assert not environments
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex)
    body = re.search(r"\\midrule\n(.*)\\bottomrule", latex, re.DOTALL)
    assert columns and body and "\\toprule" in latex
    for line in body[1].strip().splitlines():
        assert line.endswith(r"\\") and len(re.findall(r"(?<!\\)&", line)) + 1 == len(columns[1])
    outside = re.sub(r"\$[^$]*\$|\\[a-z]+\*?(\{[^}]*\})*|\\_|%[^\n]*", "", latex)
    assert "_" not in outside and "^" not in outside
    assert not re.search(r"[±−↓↑]", latex)


HOSTILE = (
    "<script>alert(1)</script>",
    "a|b|c",
    "a\nb\r\n# c",
    "=HYPERLINK(A1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\\input{/etc/passwd} $x$ & 50% #1 ~ ^",
    "[x](javascript:alert(1))",
    "`code` *star* &lt;b&gt;",
    "\u202eright to left\x00\x1b[31m",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_text_in_every_form(text: str, built: Built) -> None:
    """Of a config's `method`, whatever stands there: one row, one cell, no markup, no formula."""
    plain, hostile = (
        built("table5", generation("main", sample_kind="files", method=method)) for method in ("method", text)
    )
    rows = list(csv.reader(io.StringIO(to_csv(hostile), newline="")))
    assert [len(row) for row in rows] == [len(row) for row in csv.reader(io.StringIO(to_csv(plain), newline=""))]
    assert not any(cell.startswith(("=", "+", "@", "-2+")) or "\n" in cell for row in rows for cell in row)
    markdown, latex = to_markdown(hostile), to_latex(hostile)
    for told, before in ((markdown, to_markdown(plain)), (latex, to_latex(plain))):
        assert len(told.splitlines()) == len(before.splitlines())
        assert all(sign.isprintable() or sign == "\n" for sign in told)
    html = MarkdownIt("commonmark").enable("table").render(markdown)
    usual = MarkdownIt("commonmark").enable("table").render(to_markdown(plain))
    assert re.findall(r"<[^>]*>", html) == re.findall(r"<[^>]*>", usual)
    assert_compiles_structurally(latex)


@pytest.mark.tex
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no pdflatex here")
def test_tables_with_any_text_compile(built: Built, tmp_path: Path) -> None:
    tables = [built(name, *summaries) for name, summaries in SUMMARIES.items()]
    for text in HOSTILE:
        row = generation("main", sample_kind="files", method=text)
        tables.append(built("table5", row))
    preamble = r"\documentclass{article}\usepackage{booktabs}\usepackage{graphicx}\begin{document}"
    # Each on a page of its own: LaTeX holds eighteen floats.
    pages = "\\clearpage\n".join(map(to_latex, tables))
    (tmp_path / "all.tex").write_text(f"{preamble}\n{pages}\n\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "all.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    assert f"({len(tables)} pages" in done.stdout.replace("\n", "")


@pytest.mark.parametrize("cell", ["-0.5", "-1e-05", "+3 %", -0.5, "23.81 ± 4.25", "-"])
def test_numbers_stay_numbers(cell: Any) -> None:
    assert no_formula(cell) == cell


@given(st.floats(-1e6, 1e6), st.integers(0, 6))
def test_rounded_differs_by_at_most_half_a_last_digit(value: float, decimals: int) -> None:
    text = rounded(value, decimals).replace("−", "-")
    assert abs(Decimal(text) - Decimal(value)) <= Decimal(1).scaleb(-decimals) / 2
    assert len(text.partition(".")[2]) == decimals
