"""tools/document.py: a run's tables and figures in blocks of a page, and the numbers of its sentences."""

import json
import logging
from html import unescape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import draw_exchanged
import draw_families
import draw_storage
import pytest
import scipy.stats
from bright_pipeline.base.errors import InputError
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.tables import tables
from bright_pipeline.tables.display_table import DisplayCell, DisplayTable
from document import document, table_block
from document import filled as filled_blocks
from draw_storage import description
from finished_plan import TINY, tiny_plan
from page_numbers import Value, difference, filled_page, pages, wrong_numbers
from report_inputs import display_rows, json_rows
from scoreboard import PAGE, filled, ranks, words

SHOWN: dict[str, Any] = {
    "title": "Equal budget",
    "columns": [
        ["Source", ""],
        ["Method", ""],
        ["Code size", ""],
        ["PSNR (dB) ↑", "published"],
        ["PSNR (dB) ↑", "measured"],
        ["FID ↓", "measured"],
        ["Decoder (M)", "measured true"],
        ["Protocol", ""],
    ],
    "rows": [
        ["measured", "KL|2", "8x8x4", "", "25.61", "missing", "1.0", "A"],
        ["measured", "BRIGHT", "8x8x4", "", "26.63", "missing", "1.0", "A"],
        ["published", "BRIGHT", "64x64x4", "28.10", "", "", "", ""],
    ],
    "notes": ["A: 1,000 images.", "missing: FID: no network."],
    "entries": [None] * 3,
}
SHOWN_JSON = json.dumps(SHOWN | {"rows": json_rows(SHOWN["columns"], SHOWN["rows"])})


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)


def page_table(columns: list[Any], rows: list[list[str]], **rest: Any) -> DisplayTable:
    return DisplayTable(columns=list(map(tuple, columns)), rows=display_rows(columns, rows), **rest)


def test_a_block_has_the_measured_rows_and_the_notes() -> None:
    table = page_table(**SHOWN)
    assert table_block(table, "What it shows.", "`name`").splitlines() == [
        "**Equal budget.** What it shows.",
        "",
        "| Method   |   PSNR (dB) ↑ |   Decoder (M) true |",
        "|:---------|--------------:|-------------------:|",
        r"| KL\|2    |         25.61 |                1.0 |",
        "| BRIGHT   |         26.63 |                1.0 |",
        "",
        "No verdict on differences: fewer than 3 training seeds.",
        "",
        "<details><summary>Notes and protocols</summary>",
        "",
        "- A: 1,000 images.",
        "",
        "</details>",
        "",
        "Made by `name`.",
    ]


def test_a_long_table_shows_ten_rows_and_links_its_csv() -> None:
    columns = [("Autoencoder", ""), ("Best", ""), ("Loss ↓", "")]
    losses = {"kl": [0.9, 1.0], "bright": [0.1 * rate for rate in range(1, 21)]}
    rows = [
        [DisplayCell(name), DisplayCell("" if trial else "best"), DisplayCell(f"{loss:.2f}", loss)]
        for name, trials in losses.items()
        for trial, loss in enumerate(trials)
    ]
    text = table_block(DisplayTable("Rates", columns, rows, [], [None] * 22), "Trials.", "`name`", "csv/rates.csv")
    assert "[All 22 rows](csv/rates.csv)" in text and "the best trial of each autoencoder, then" in text
    _, sides, *shown = [line.split("|")[1:-1] for line in text.splitlines() if line.startswith("|")]
    assert [cells[0].strip() for cells in shown] == ["bright", "kl", *["bright"] * 8]
    assert "0.90" in text and "1.00" not in text
    assert sides[0].startswith(":") and sides[2].endswith(":"), "names to the left, numbers to the right"
    numbers = DisplayTable("T", [("Method", ""), ("X ↑", "")], [[DisplayCell("KL")] * 2] * 21, [], [None] * 21)
    assert "these are the first 10." in table_block(numbers, "", "`name`", "csv/x.csv")


def test_text_outside_of_blocks_stays_and_filling_again_changes_nothing() -> None:
    text = "# A\n<!-- table one -->\nold\n<!-- end -->\nbetween\n<!-- figure two --><!-- end -->\nlast\n"
    once = filled_blocks(text, lambda kind, name, content: f"{kind} {name}", "x.md")
    first, second = "<!-- table one -->\ntable one\n<!-- end -->", "<!-- figure two -->\nfigure two\n<!-- end -->"
    assert once == f"# A\n{first}\nbetween\n{second}\nlast\n"
    assert filled_blocks(once, lambda kind, name, content: f"{kind} {name}", "x.md") == once
    assert filled_blocks(once, lambda kind, name, content: None, "x.md") == once


@pytest.mark.parametrize("text", ["a\n<!-- table one -->\n", "a\n<!-- table one -->\n<!-- table two --><!-- end -->"])
def test_a_block_without_an_end_is_reported_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match=r"x\.md, line 2: <!-- table one --> has no <!-- end --> behind it"):
        filled_blocks(text, lambda kind, name, content: "never", "x.md")


@pytest.fixture
def jobs() -> Jobs:
    """A run of which one table and one figure are finished."""
    plan = tiny_plan()
    table, figure = plan(tables)["table2"], plan(figures)["fig10"]
    for job, content in ((table, SHOWN_JSON), (figure, "a picture")):
        job.folder.mkdir(parents=True)
        for path in job.outputs:
            Path(path).write_text(content)
    plan.store.forget()
    return plan


def test_finished_results_fill_the_blocks_and_sentences_of_a_page_and_its_appendix(
    jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    recorded, page, run = jobs.folder / "config.yaml", Path("docs/results.md"), jobs.config.run
    for path in (recorded, page):
        path.parent.mkdir(parents=True, exist_ok=True)
    recorded.write_text(f"# The run of config/mine.yaml\n{TINY.read_text()}")
    page.write_text(
        "PSNR is 0.0<!-- = table2; PSNR; BRIGHT - KL --> dB higher.\n"
        "<!-- table table3 -->\nkept\n<!-- end -->\n"
        "<!-- figure fig10 -->\n<!-- end -->\n<!-- table ablations -->\nof another run\n<!-- end -->\n"
    )
    appendix = Path("docs/results-tables.md")
    appendix.write_text("<!-- table table2 -->\nold\n<!-- end -->\n")
    with caplog.at_level(logging.WARNING, "bright"):
        document(recorded, page)
    written = page.read_text()
    table = appendix.read_text()
    assert written.startswith("PSNR is 1.0<!-- = table2; PSNR; BRIGHT - KL --> dB higher.\n")
    assert "| BRIGHT   |         26.63 |" in table and "old" not in table
    assert f"Made by the target `table2` of `config/mine.yaml`, as `{jobs(tables)['table2'].name}`." in table
    assert "<!-- table table3 -->\nkept\n<!-- end -->" in written
    assert f"table table3 stays as it is: {jobs(tables)['table3'].folder} is not made yet" in caplog.text
    assert "<!-- table ablations -->\nof another run\n<!-- end -->" in written
    assert f"table ablations stays as it is: {recorded} has none" in caplog.text
    assert f"](images/{run}-fig10.png)" in written
    assert Path(f"docs/images/{run}-fig10.png").read_text() == "a picture"


def test_an_unknown_table_or_a_missing_page_is_one_line(jobs: Jobs) -> None:
    Path("a.md").write_text("<!-- table table99 -->\n<!-- end -->\n")
    with pytest.raises(InputError, match=r"a\.md: table table99: .*tiny\.yaml has none; it has table2, "):
        document(TINY, Path("a.md"))
    with pytest.raises(InputError, match=r"missing\.md: not a text that can be read"):
        document(TINY, Path("missing.md"))


# Numbers in sentences.

NUMBERS = """
<!-- table sizes -->
- Corrected for 12 comparisons.

| Method           | PSNR (dB) ↑  | rFD ↓  | FD (Lite) of samples ↓ | Images/s         |
|:-----------------|-------------:|-------:|-----------------------:|-----------------:|
| BRIGHT           | 24.12 ± 0.28 | 329.68 |           505.9 ± 25.2 | 1530 [1500, 1550] |
| BRIGHT (stage 2) | 23.83 ± 0.26 | 276.59 |            382.1 ± 4.0 |             765.0 |

over the training seeds 0, 1, 2.
<!-- end -->
"""


@pytest.mark.parametrize(
    ("sentence", "right"),
    [
        ("9.9<!-- = sizes; PSNR; BRIGHT -->", "24.1"),
        ("9.99 ± 9.99<!-- = sizes; PSNR; stage -->", "23.83 ± 0.26"),
        ("± 9<!-- = sizes; FD samples; stage -->", "± 4"),
        ("1 ± 1<!-- = sizes; FD samples; BRIGHT - stage -->", "124 ± 61"),
        ("(± 9<!-- = sizes; FD samples; BRIGHT - stage -->)", "(± 61"),
        ("1.00<!-- = sizes; FD samples / rFD; BRIGHT -->", "1.53"),
        ("9,999<!-- = sizes; Images/s; BRIGHT -->", "1,530"),
        ("9.9<!-- = sizes; Images/s; BRIGHT / stage -->", "2.0"),
        ("9<!-- = sizes; Images/s; BRIGHT +% stage --> %", "100"),
        ("1 to 2<!-- = sizes; rFD; stage & BRIGHT -->", "277 to 330"),
        ("9<!-- = sizes; rFD; min BRIGHT & stage -->", "277"),
        ("9<!-- = sizes; sentence; for # comparisons -->", "12"),
        ("<!-- row sizes; PSNR, rFD; BRIGHT, stage --> | 1.0, 1 | 1.0, 1 |", " | 24.1, 330 | 23.8, 277 |"),
    ],
)
def test_a_marked_number_is_that_of_its_source(sentence: str, right: str) -> None:
    page = Path("page.md").resolve()  # a path is read once
    page.write_text(sentence + NUMBERS)
    (wrong,) = wrong_numbers(page)
    assert right in wrong
    page.write_text(filled_page(page.read_text(), page))
    assert wrong_numbers(page) == []


def test_rows_of_a_csv_file_with_equal_first_cells_are_named_by_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("page_numbers.DOCS", Path().resolve())
    Path("csv").mkdir()
    Path("csv", "pairs.csv").write_text("row,minus,fd\nkeys,kl,12\nkeys,rqvae,-3\n")
    page = Path("pairs.md").resolve()
    page.write_text("<!-- row pairs.csv; fd; keys rqvae --> +9\n<!-- row pairs.csv; fd; keys kl --> +9")
    assert [wrong.partition("--> ")[2] for wrong in wrong_numbers(page)] == ["−3", "+12"]


def test_the_half_width_is_that_of_welchs_interval() -> None:
    draws = [[478.0, 512.3, 527.4], [377.9, 382.4, 385.9]]
    low, high = scipy.stats.ttest_ind(*draws, equal_var=False).confidence_interval()
    one, other = (Value((fmean(x),) * 2, (stdev(x),) * 2) for x in draws)
    assert difference(one, other, 3).spread == pytest.approx([(high - low) / 2] * 2)


@pytest.mark.parametrize(
    ("marker", "error"),
    [
        ("9<!-- = sizes; SSIM; BRIGHT -->", "SSIM: no label has these words"),
        ("9<!-- = absent; PSNR; BRIGHT -->", "absent: no such block, or several"),
        ("9 ± 9<!-- = sizes; rFD; BRIGHT -->", "no deviation, and no interval"),
        ("nine<!-- = sizes; PSNR; BRIGHT -->", "1 markers have no number before them"),
        ("<!-- row sizes; PSNR; BRIGHT --> 1, 2", "1 values; its line has other numbers, too"),
    ],
)
def test_a_wrong_marker_is_one_line(marker: str, error: str) -> None:
    page = Path("page.md").resolve()
    page.write_text(marker + NUMBERS)
    with pytest.raises(InputError, match=error):
        wrong_numbers(page)


def test_every_marked_number_of_the_pages_is_right() -> None:
    assert [line for page in pages() for line in wrong_numbers(page)] == []


def test_the_scoreboard_and_the_charts_are_those_of_the_pages() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert filled(text) == text
    charts = [(path, draw_families.description(table)) for path, (_, table) in draw_families.pictures().items()]
    charts += [(path, description(draw_storage.draw(*of))) for path, of in draw_storage.pictures().items()]
    charts += [(path, description(draw_exchanged.draw(theme))) for path, theme in draw_exchanged.pictures().items()]
    for path, expected in charts:
        assert expected in unescape(path.read_text(encoding="utf-8")), path


@pytest.mark.parametrize(
    ("values", "in_words"),
    [
        ({"A": (1, 0.1), "B": (2, 0.1), "C": (3, 0.1), "D": (4, 0.1)}, "A: 1; B: 2; C: 3; D: 4"),
        ({"A": (1.01, 0.1), "B": (2, 0.1), "C": (1, 0.1), "D": (2.01, 0.1)}, "A, C: 1 to 2; B, D: 3 to 4"),
        ({"A": (1, 1), "B": (2, 1), "C": (1, 1), "D": (2, 1)}, "not separated"),
    ],
)
def test_ranks_are_as_wide_as_chance_leaves_them(values: dict[str, tuple[float, float]], in_words: str) -> None:
    assert words(ranks(values, 5, lower=True)) == in_words
    negative = {name: (-mean, deviation) for name, (mean, deviation) in values.items()}
    assert words(ranks(negative, 5, lower=False)) == in_words


def test_a_document_prints_significant_differences_and_the_number_of_the_others() -> None:
    columns = [("Source", ""), ("Method", ""), ("FD (EfficientNet-Lite0) of samples ↓", "measured")]
    numbers = {"BRIGHT": 405, "VQ | GAN": 320, "RQ-VAE": 340, "KL": 410}
    rows = display_rows(columns, [["measured", name, f"{number}.0 ± 9.0"] for name, number in numbers.items()], True)
    distances = DisplayTable("A title", columns, rows, [], [None] * len(rows), seeded=True)
    *_, labels, _, first, second, _, note, _, _ = table_block(distances, "", "").splitlines()
    assert [" ".join(line.split()) for line in (labels, first, second)] == [
        "| Difference | FD (EfficientNet-Lite0) of samples ↓ |",
        r"| VQ \| GAN | **−85.0 [−105.4, −64.6]** |",
        "| RQ-VAE | **−65.0 [−85.4, −44.6]** |",
    ]
    assert note.endswith(" Not significant, and not shown: 1 of 3.")
