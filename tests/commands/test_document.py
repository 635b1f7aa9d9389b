"""`bright document`: a run's tables and figures in blocks of a Markdown file, which keeps all else."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.document import document, filled, table_block
from bright_pipeline.plan.publish import folder
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import figures
from bright_pipeline.stages.tables import tables
from bright_pipeline.tables.display_table import DisplayCell, DisplayTable
from finished_plan import TINY, tiny_plan
from report_inputs import display_rows, json_rows

TOLD: dict[str, Any] = {
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
    "notes": ["A: 1,000 images.", "FID: missing: no network."],
    "entries": [None] * 3,
}
TOLD_JSON = json.dumps(TOLD | {"rows": json_rows(TOLD["columns"], TOLD["rows"])})


def page_table(columns: list[Any], rows: list[list[str]], **rest: Any) -> DisplayTable:
    return DisplayTable(columns=list(map(tuple, columns)), rows=display_rows(columns, rows), **rest)


def test_a_block_has_the_measured_rows_who_leads_and_the_notes() -> None:
    table = page_table(**TOLD)
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


def test_the_names_of_a_record_of_trials_are_to_the_left_as_those_of_other_tables() -> None:
    columns, trials = [("Autoencoder", ""), ("Best", ""), ("Loss ↓", "")], [["kl", "best", "0.7"], ["kl", "", "1.4"]]
    table = page_table(columns, trials, title="Rates", notes=[], entries=["autoencoders.kl"] * 2)
    assert table_block(table, "Trials.", "`name`").splitlines()[2:6] == [
        "| Autoencoder   |   Best |   Loss ↓ |",
        "|:--------------|-------:|---------:|",
        "| kl            |   best |      0.7 |",
        "| kl            |        |      1.4 |",
    ]


def test_of_a_long_table_a_document_has_ten_rows_and_a_link_to_the_csv() -> None:
    columns = [("Autoencoder", ""), ("Best", ""), ("Loss ↓", "")]
    losses = {"kl": [0.9, 1.0], "bright": [0.1 * rate for rate in range(1, 21)]}
    rows = [
        [DisplayCell(name), DisplayCell("" if place else "best"), DisplayCell(f"{loss:.2f}", loss)]
        for name, of_entry in losses.items()
        for place, loss in enumerate(of_entry)
    ]
    text = table_block(DisplayTable("Rates", columns, rows, [], [None] * 22), "Trials.", "`name`", "csv/run-rates.csv")
    assert (
        "[All 22 rows](csv/run-rates.csv) are in a csv file; these are the best trial of each autoencoder, then the"
        " trials with the lowest loss, 10 in all." in text
    )
    shown = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    assert shown == ["bright", "kl", *["bright"] * 7, "bright"] and "0.90" in text and "1.00" not in text
    numbers = DisplayTable("T", [("Method", ""), ("X ↑", "")], [[DisplayCell("KL")] * 2] * 21, [], [None] * 21)
    assert "these are the first 10." in table_block(numbers, "", "`name`", "csv/x.csv")


def test_what_stands_outside_of_blocks_stays_and_filling_again_changes_nothing() -> None:
    text = "# A\n<!-- table one -->\nold\n<!-- end -->\nbetween\n<!-- figure two --><!-- end -->\nlast\n"
    once = filled(text, lambda kind, name, content: f"{kind} {name}", "x.md")
    first, second = "<!-- table one -->\ntable one\n<!-- end -->", "<!-- figure two -->\nfigure two\n<!-- end -->"
    assert once == f"# A\n{first}\nbetween\n{second}\nlast\n"
    assert filled(once, lambda kind, name, content: f"{kind} {name}", "x.md") == once
    assert filled(once, lambda kind, name, content: None, "x.md") == once


@pytest.mark.parametrize("text", ["a\n<!-- table one -->\n", "a\n<!-- table one -->\n<!-- table two --><!-- end -->"])
def test_a_block_without_an_end_is_told_with_its_line(text: str) -> None:
    with pytest.raises(InputError, match=r"x\.md, line 2: <!-- table one --> has no <!-- end --> behind it"):
        filled(text, lambda kind, name, content: "never", "x.md")


# The command, on a run of which one table and one figure are made.


@pytest.fixture
def jobs(own_folder: Path) -> Jobs:
    plan = tiny_plan()
    table, figure = plan(tables)["table2"], plan(figures)["fig10"]
    for job, told in ((table, TOLD_JSON), (figure, "a picture")):
        job.folder.mkdir(parents=True)
        for path in job.outputs:
            Path(path).write_text(told)
    plan.store.forget()
    return plan


def test_the_command_fills_what_is_made_and_leaves_the_rest(jobs: Jobs, caplog: pytest.LogCaptureFixture) -> None:
    text = Path("docs/results.md")
    text.parent.mkdir()
    text.write_text(
        "<!-- table table2 -->\nold\n<!-- end -->\n<!-- table table3 -->\nkept\n<!-- end -->\n"
        "<!-- figure fig10 -->\n<!-- end -->\n<!-- table ablations -->\nof another run\n<!-- end -->\n"
    )
    with caplog.at_level(logging.WARNING, "bright"):
        document(TINY, text)
    written, run = text.read_text(), jobs.config.run
    assert "| BRIGHT   |         26.63 |" in written and "old" not in written
    assert f"Made by the target `table2` of `{TINY}`, as `{jobs(tables)['table2'].name}`." in written
    assert "<!-- table table3 -->\nkept\n<!-- end -->" in written
    assert f"table table3 stays as it is: {jobs(tables)['table3'].folder} is not made yet" in caplog.text
    assert "<!-- table ablations -->\nof another run\n<!-- end -->" in written
    assert f"table ablations stays as it is: {TINY} has none" in caplog.text
    assert f"](images/{run}-fig10.png)" in written
    assert Path(f"docs/images/{run}-fig10.png").read_text() == "a picture"


def test_a_document_from_the_config_of_the_results_names_the_file_that_the_run_was_started_with(jobs: Jobs) -> None:
    recorded = folder(jobs) / "config.yaml"
    recorded.parent.mkdir(parents=True, exist_ok=True)
    recorded.write_text(f"# The run of config/mine.yaml\n{TINY.read_text()}")
    Path("a.md").write_text("<!-- table table2 -->\n<!-- end -->\n")
    document(recorded, Path("a.md"))
    assert "Made by the target `table2` of `config/mine.yaml`, as" in Path("a.md").read_text()


def test_an_unknown_table_or_a_missing_document_is_one_line(jobs: Jobs) -> None:
    Path("a.md").write_text("<!-- table table99 -->\n<!-- end -->\n")
    with pytest.raises(InputError, match=r"a\.md: table table99: .*tiny\.yaml has none; it has table2, "):
        document(TINY, Path("a.md"))
    with pytest.raises(InputError, match=r"missing\.md: not a text that can be read"):
        document(TINY, Path("missing.md"))
