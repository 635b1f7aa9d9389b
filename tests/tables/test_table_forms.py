"""A built table as csv, Markdown, LaTeX and json; its summaries, their protocols, its notes and its display."""

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
from bright_pipeline.base.errors import InputError
from bright_pipeline.make_table import make_table
from bright_pipeline.settings.tables import TABLES
from bright_pipeline.stages.tables import FIRST_ROW
from bright_pipeline.tables.build import MEASURED
from bright_pipeline.tables.display import display, footnotes, hint, rounded
from bright_pipeline.tables.display_table import read_display
from bright_pipeline.tables.render import no_formula, to_csv, to_json, to_latex, to_markdown
from built_tables import PUBLISHED_FOLDER, Built, csv_rows, published_csv, row_named
from hypothesis import given
from hypothesis import strategies as st
from made_summaries import (
    church,
    codes,
    complexity,
    ffhq,
    generation,
    reconstruction,
    reconstruction_distance,
    row_of,
    stored,
)
from markdown_it import MarkdownIt
from scipy.stats import t as student

COUNTS, OTHER_CODE = (complexity("main", "fashion_mnist", size, feature_size=16) for size in ("8x8x4", "8x8x8"))
MAIN = reconstruction("main")
BY_AUTHORS = {f"{name}_authors": MAIN["values"][name] for name in ("lpips_alex", "ssim", "psnr")}
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
    "collection_sizes": [stored("main"), COUNTS],
    "rates": [stored("main")],
    "bits_of_numbers": [stored("main")],
    "new_images": [stored("main")],
    "table_sizes": [codes("main"), reconstruction("main")],
    "ablations": [reconstruction("main"), COUNTS, reconstruction_distance("main"), generation("main")],
    "latent_diffusion": [reconstruction_distance("main"), generation("main")],
    "equal_budget": [reconstruction("main"), COUNTS],
    "authors_protocol": [MAIN | {"values": MAIN["values"] | BY_AUTHORS}],
}


def test_numbers_have_their_forms(built: Built) -> None:
    assert [rounded(-0.001, 2), rounded(0.0106076, 1, 3), rounded(10.6076, 1, 3)] == ["0.00", "0.0106", "10.6"]
    table = built("table2", reconstruction("main"))
    assert float(row_named(table, "main")["psnr_measured_two_std"]) == 2 * 2.1234567
    assert "23.81 ± 4.25" in to_markdown(table) and r"23.81 $\pm$ 4.25" in to_latex(table)
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


def test_missing_network_says_what_to_put_where(built: Built) -> None:
    note = "network clip is missing (CLIP-FID): put ViT-B-32.pt (from a server) into results/networks"
    table = built("table5", generation("main"), missing=[note])
    row, text = row_named(table, "main"), to_markdown(table)
    assert {"fid", "clip_fid", "is", "precision"} <= set(row["missing"].split("; "))
    assert row["fid_measured"] == "" and note in row["notes"] and f"missing: {note}" in text
    shown = display(table)
    columns = {name for name, part in shown.columns if part == "measured"}
    assert set(shown.unmeasured) >= {"FID", "CLIP-FID", "IS", "Precision"}, "one line, and no column"
    assert columns and all("EfficientNet-Lite0" in name for name in columns)
    both = built("table5", generation("main"), ffhq("f", "clip"), missing=[note])
    assert "| missing " in to_markdown(both) and "& missing &" in to_latex(both), "where another row has it"
    row = row_named(built("table5", rows=[{"name": "main", "dataset": "ffhq256", "label": "BRIGHT (LDM)"}]), "main")
    assert row["missing"].startswith("fid; fid_clean; clip_fid; is") and row["method"] == "BRIGHT (LDM)"


def test_spreads_of_seeds_and_of_the_paper_are_told_apart(built: Built) -> None:
    both = [reconstruction("main"), reconstruction("main#1", numbers={"psnr": 24.0})]
    words = "Behind a published number it is"
    assert words in display(built("table2", *both, training_seeds=[0, 1])).spreads
    assert words not in display(built("equal_budget", *both, training_seeds=[0, 1])).spreads, (
        "the paper has no such table"
    )
    assert words not in display(built("table2", reconstruction("main"))).spreads, "both are over images"


def test_a_column_that_one_row_has_is_not_called_unmeasured(built: Built) -> None:
    table = built("table5", generation("main"), ffhq("f", "clip"), missing=["network inception is missing (FID)"])
    assert "FID" in display(table).unmeasured and "CLIP-FID" not in display(table).unmeasured


def test_the_json_has_each_number_beside_its_text_and_its_interval(built: Built, tmp_path: Path) -> None:
    (tmp_path / "table.json").write_text(to_json(built("table2", church("c", "64x64x4"))))
    shown = read_display(tmp_path / "table.json")
    (row,) = shown.measured_rows()
    assert [entry for entry in shown.entries if entry] == ["autoencoders.c"] == [shown.entries[shown.rows.index(row)]]
    published, measured, difference = (
        shown.cell(row, "PSNR (dB) ↑", part) for part in ("published", "measured", "difference")
    )
    assert published == ("26.34", 26.34, "± 7.14", None, ()) and str(published) == "26.34 ± 7.14"
    count, half = 300, measured.interval[1] - measured.number
    assert measured[:3] == ("23.81", 23.8123456, "± 4.25") and sum(measured.interval) / 2 == pytest.approx(23.8123456)
    assert half == pytest.approx(student.ppf(0.975, count - 1) * 2.1234567 / count**0.5), "of the mean"
    assert difference == ("−2.53", pytest.approx(23.8123456 - 26.34), "", None, ())
    table = built("table5", generation("main", intervals={"frechet_distance": [500.0, 600.0]}))
    (tmp_path / "table.json").write_text(to_json(table))
    shown = read_display(tmp_path / "table.json")
    assert shown.rows == display(table).rows, "its intervals and seeds are tuples again"
    cell = shown.cell(shown.rows[0], "FD (EfficientNet-Lite0) ↓", "measured")
    assert cell == ("539.0", 538.987, "[500.0, 600.0]", (500.0, 600.0), ())
    seeds = [reconstruction(name, numbers={"psnr": psnr}) for name, psnr in (("main", 24.0), ("main#1", 26.0))]
    shown = display(built("table2", *seeds, training_seeds=[0, 1]))
    cell = shown.cell(shown.rows[0], "PSNR (dB) ↑", "measured")
    assert cell == ("25.00", 25.0, "± 1.41", None, (24.0, 26.0)), "± is no interval of the mean"


def vgg16(name: str, paper: bool) -> dict[str, Any]:
    """Precision and recall on VGG16 as torch-fidelity takes them, or as the paper's repository does."""
    how = ("paper_repository", "fc2 before its ReLU") if paper else ("torch_fidelity", "fc2 after its ReLU")
    protocol = dict(zip(("precision_recall", "layer"), how, strict=True))
    metrics = {"precision": 0.8, "recall": 0.45, "f1": 0.576}
    return ffhq(name, "vgg16", space="vgg16_paper" if paper else "vgg16", numbers=metrics, protocol=protocol)


@pytest.mark.parametrize(
    ("table", "summaries", "rows", "told"),
    [
        ("table2", [], [{"name": "main", "dataset": "d"}], "row 'main'"),
        ("table2", [reconstruction("x")], [{"name": "main", "dataset": "d"}], "'x' is none of the table's rows"),
        ("table2", [complexity("main", "d", "8x8x4")], [{"name": "main"}], "kind complexity"),
        ("table2", [reconstruction("main")] * 2, [{"name": "main"}], "is given twice"),
        ("table2", [], [{"name": "a", "dataset": "d"}] * 2, "duplicate name"),
        ("table7", [reconstruction("main"), OTHER_CODE], [{"name": "main"}], "code_size is '8x8x4' in one and '8x8x8'"),
        ("table2", [reconstruction("main", numbers={"psnr": "many"})], [{"name": "main"}], "0.json: values.psnr.numb"),
        ("table5", [vgg16("a", False), vgg16("a", True)], [{"name": "a"}], "'a': .*f1 has two protocols: .*'vgg16'"),
    ],
)
def test_wrong_summaries_are_named(table: str, summaries: list[Any], rows: list[Any], told: str, built: Built) -> None:
    with pytest.raises(InputError, match=told) as error:
        built(table, *summaries, rows=rows)
    assert "\n" not in str(error.value)


def test_the_line_of_what_to_look_at_says_which_way_is_better(built: Built) -> None:
    told = hint(built("table7", reconstruction("main"), complexity("c", "ffhq256", "16x16x16")))
    for words in ("C_key", "lower is better for LPIPS", "higher is better for SSIM", "cheaper for Hash tables (M)"):
        assert words in told
    assert hint(built("table5", generation("main"))).endswith("higher is better for IS, Precision, Recall and 7 more.")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resize": "lanczos 112"}, "resize 'bicubic 112' and 'lanczos 112'"),
        ({"network_sha256": "e" * 64}, "network_sha256"),
        ({"reference_sha256": "f" * 64}, "reference_sha256"),
        ({"count": 500}, "count 1000 and 500; evaluate both alike or put them in two tables"),
    ],
)
def test_two_protocols_in_one_column_stop(change: dict[str, Any], told: str, built: Built) -> None:
    line = r"^column FD \(EfficientNet-Lite0\) ↓, dataset fashion_mnist: rows 'a' and 'b' have two protocols: "
    with pytest.raises(InputError, match=line + told) as error:
        built("table5", generation("a"), generation("b", protocol=change))
    assert "\n" not in str(error.value)


def test_other_versions_of_a_library_may_share_a_column_and_are_in_a_footnote(built: Built) -> None:
    def told(*versions: str) -> list[str]:
        made = zip("abc", versions, (3, 4, 3), strict=False)
        rows = [generation(name, protocol={"versions": {"torch": one}, "seed": seed}) for name, one, seed in made]
        return [note for note in footnotes(built("table5", *rows)) if note.startswith("Measured with")]

    assert told("2.13", "2.14", "2.13") == ["Measured with torch 2.13: a, c.", "Measured with torch 2.14: b."]
    assert told("2.13", "2.13") == []


def test_columns_of_one_dataset_and_protocol_share_a_line(built: Built) -> None:
    notes = footnotes(built("table5", generation("a"), ffhq("c", "efficientnet_lite0")))
    told = [note.partition(" of FD, Score, Precision, ") for note in notes if note.startswith("Protocol")]
    assert {where for where, _, _ in told} == {"Protocol on fashion_mnist", "Protocol on ffhq256"}
    assert [where for where, _, words in told if "count 1000," in words] == ["Protocol on fashion_mnist"]


def test_other_networks_hash_does_not_concern_a_metric(built: Built) -> None:
    one, other = reconstruction("a"), reconstruction("b")
    other["values"]["lpips_vgg"]["protocol"]["lpips_vgg_sha256"] = "f" * 64
    with pytest.raises(InputError, match=r"column LPIPS-VGG"):
        built("table2", one, other)
    del one["values"]["lpips_vgg"]
    built("table2", one, other)


@pytest.mark.parametrize("paper", [False, True])
def test_either_protocol_of_precision_fills_the_column_and_both_do_not(paper: bool, built: Built) -> None:
    table = built("table5", vgg16("a", paper), vgg16("b", paper))
    assert [float(row_named(table, name)["precision_measured"]) for name in "ab"] == [0.8, 0.8]
    assert f"precision_recall {'paper_repository' if paper else 'torch_fidelity'}" in to_markdown(table)
    with pytest.raises(InputError, match=r"^column Precision ↑, dataset ffhq256: rows 'a' and 'b' have two protocols"):
        built("table5", vgg16("a", paper), vgg16("b", not paper))


def test_an_ablation_has_its_label_in_the_table_and_its_keys_in_the_csv(built: Built) -> None:
    rows = [{"variant": FIRST_ROW}, {"variant": "features mlp", "variant_label": "without tables"}]
    both = [reconstruction("main"), reconstruction("mlp")]
    named = [row_of(one) | row for one, row in zip(both, rows, strict=True)]
    table = built("ablations", *both, rows=named)
    assert [row["variant"] for row in csv_rows(table)] == [FIRST_ROW, "features mlp"]
    shown = display(table)
    assert [shown.cell(row, "Changed").text for row in shown.rows] == [FIRST_ROW, "without tables"]
    assert shown.changes == [FIRST_ROW, "features mlp"] and "without tables: features mlp." in shown.notes
