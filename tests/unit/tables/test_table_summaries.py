"""Summaries by row, what is missing, and the display of a table for its readers."""

import json
from pathlib import Path
from typing import Any

import pytest
from made_summaries import PUBLISHED_FOLDER, Built, church, complexity, generation, reconstruction, row_named

from pipeline.base.errors import InputError
from pipeline.make_table import make_table
from pipeline.settings.tables import TABLES
from pipeline.tables.display import display, look
from pipeline.tables.display_table import read_display
from pipeline.tables.render import to_json, to_latex, to_markdown


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


def test_the_line_of_what_to_look_at_names_or_counts_the_columns(built: Built) -> None:
    told = look(built("table2", reconstruction("main"), church("c", "32x32x8")))
    assert told == (
        "Rows of one dataset, by Method and Code size: lower is better in LPIPS and LPIPS-VGG;"
        " higher is better in SSIM and PSNR (dB)."
    )
    told = look(built("table7", reconstruction("main"), complexity("c", "ffhq256", "16x16x16")))
    assert told.endswith("; less is cheaper in Hash tables (M), Decoder (M) and Decoding GFLOPs.")
    assert "C_key" in told
    told = look(built("table5", generation("main", "efficientnet_lite0")))
    assert "lower is better in FID, CLIP-FID and FD (EfficientNet-Lite0);" in told
    assert told.endswith("higher is better in IS, Precision, Recall and 7 more.")


@pytest.mark.parametrize("name", TABLES)
def test_every_layout_has_a_column_of_which_it_says_what_is_better(name: str) -> None:
    arrows = {quantity.label[-1] for quantity in TABLES[name].quantities}
    assert arrows & {"↓", "↑"}


def test_rows_name_their_entry_and_published_rows_none(built: Built) -> None:
    shown = display(built("table2", reconstruction("main")))
    measured = [entry for row, entry in zip(shown.rows, shown.entries, strict=True) if shown.is_measured(row)]
    assert measured == ["autoencoders.main"]
    assert shown.entries.count(None) == len(shown.rows) - 1
    assert display(built("table5", generation("main", "efficientnet_lite0"))).entries[-1] == "samples.main"


def test_the_json_has_each_number_beside_its_text(built: Built, tmp_path: Path) -> None:
    table = built("table2", church("c", "64x64x4"))
    (tmp_path / "table.json").write_text(to_json(table))
    shown = read_display(tmp_path / "table.json")
    (row,) = shown.measured_rows()
    published, measured, difference = (
        shown.cell(row, "PSNR (dB) ↑", part) for part in ("published", "measured", "difference")
    )
    assert published == ("26.34", 26.34, "± 7.14", None) and str(published) == "26.34 ± 7.14"
    assert measured == ("23.81", 23.8123456, "± 4.25", None), "a ± over images is no interval of the mean"
    assert difference == ("−2.53", pytest.approx(23.8123456 - 26.34), "", None)


def test_intervals_and_deviations_over_seeds_are_intervals_of_the_number(built: Built) -> None:
    made = generation("main", "efficientnet_lite0", intervals={"frechet_distance": [500.0, 600.0]})
    shown = display(built("table5", made))
    cell = shown.cell(shown.rows[-1], "FD (EfficientNet-Lite0) ↓", "measured")
    assert cell == ("539.0", 538.987, "[500.0, 600.0]", (500.0, 600.0))
    seeds = [reconstruction(name, numbers={"psnr": psnr}) for name, psnr in (("main", 24.0), ("main#1", 26.0))]
    shown = display(built("table2", *seeds, training_seeds=[0, 1]))
    cell = shown.cell(shown.rows[-1], "PSNR (dB) ↑", "measured")
    assert cell[:3] == ("25.00", 25.0, "± 1.41") and cell.interval == pytest.approx((25 - 2**0.5, 25 + 2**0.5))
