"""What a table is made of: summaries by row, and what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_summaries import PUBLISHED_FOLDER, Built, complexity, generation, reconstruction, row_named

from pipeline.base.errors import InputError
from pipeline.make_table import make_table
from pipeline.tables.render import to_latex, to_markdown


def test_missing_network_says_what_to_put_where(built: Built) -> None:
    note = "network clip is missing (CLIP-FID): put ViT-B-32.pt (from a server) into results/networks"
    named = "FID, IS: put weights-inception.pth into results/networks"
    table = built("table5", generation("main", "efficientnet_lite0"), missing=[note, named])
    row = row_named(table, "main")
    assert {"fid", "clip_fid", "is", "precision"} <= set(row["missing"].split("; "))
    assert row["fid_measured"] == "" and note in row["notes"] and named in row["notes"]
    assert float(row["fd_efficientnet_lite0_measured"]) == 538.987
    [line] = [line for line in to_markdown(table).splitlines() if line.startswith("| measured")]
    assert [cell.strip() for cell in line.split("|")].count("missing") == 6
    assert f"missing: {note}" in to_markdown(table) and f"missing: {named}" in to_markdown(table)
    assert "Precision, Recall, F1, Density, Coverage: missing: no summary made with the network vgg16" in to_markdown(
        table
    )
    assert "& missing &" in to_latex(table)


def test_row_whose_networks_are_all_missing_still_stands_in_the_table(built: Built) -> None:
    table = built("table5", rows=[{"name": "main", "dataset": "ffhq256", "label": "BRIGHT (LDM)"}])
    assert row_named(table, "main")["missing"].startswith("fid; fid_clean; clip_fid; is")


@pytest.mark.parametrize(
    ("table", "summaries", "rows", "told"),
    [
        ("table2", [], [{"name": "main", "dataset": "d"}], "row 'main'"),
        ("table2", [reconstruction("x")], [{"name": "main", "dataset": "d"}], "'x' is none of the table's rows"),
        ("table2", [complexity("main", "d", "8x8x4")], [{"name": "main"}], "kind complexity"),
        ("table2", [reconstruction("main")] * 2, [{"name": "main"}], "comes twice"),
        ("table2", [], [{"name": "a", "dataset": "d"}] * 2, "a name comes twice"),
        (
            "table7",
            [reconstruction("main"), complexity("main", "fashion_mnist", "8x8x8", feature_size=16)],
            [{"name": "main"}],
            "code_size is '8x8x4' in one and '8x8x8' in another",
        ),
        (
            "table2",
            [reconstruction("main", numbers={"psnr": "many"})],
            [{"name": "main"}],
            "0.json: values.psnr.number",
        ),
    ],
)
def test_wrong_summaries_get_one_line(
    table: str, summaries: list[dict[str, Any]], rows: list[Any], told: str, built: Built
) -> None:
    with pytest.raises(InputError) as error:
        built(table, *summaries, rows=rows)
    assert told in str(error.value) and "\n" not in str(error.value)


def test_summaries_name_their_rows_on_the_command_line(tmp_path: Path, built: Built) -> None:
    import typer
    from typer.testing import CliRunner

    built("table2", reconstruction("a"), reconstruction("b"))
    app = typer.Typer()
    app.command()(make_table)
    settings = json.dumps({"table": "table2", "rows": [{"name": "a", "dataset": "d"}, {"name": "b", "dataset": "d"}]})
    arguments = [settings, f"a={tmp_path / '0.json'}", f"b={tmp_path / '1.json'}"]
    options = ["--published", str(PUBLISHED_FOLDER), "--print"]
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0 and "# Table 2" in result.output
