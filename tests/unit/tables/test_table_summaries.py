"""Summaries by row and their protocols, what is missing, and the display of a table for its readers."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from made_summaries import (
    PUBLISHED_FOLDER,
    Built,
    church,
    complexity,
    csv_rows,
    ffhq,
    generation,
    reconstruction,
    row_named,
    row_of,
    write_summary,
)

from pipeline.base.errors import InputError
from pipeline.make_table import make_table
from pipeline.settings.tables import TABLES
from pipeline.tables.build import PUBLISHED
from pipeline.tables.display import display, look
from pipeline.tables.display_table import read_display
from pipeline.tables.footnotes import footnotes
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


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"resize": "lanczos 112"}, "resize 'bicubic 112' and 'lanczos 112'"),
        ({"network_sha256": "e" * 64}, "network_sha256"),
        ({"reference_sha256": "f" * 64}, "reference_sha256"),
        ({"count": 500}, "count 1000 and 500"),
    ],
)
def test_two_protocols_in_one_column_stop(change: dict[str, Any], told: str, built: Built) -> None:
    one, other = generation("a", "efficientnet_lite0"), generation("b", "efficientnet_lite0", protocol=change)
    with pytest.raises(InputError) as error:
        built("table5", one, other)
    assert told in str(error.value) and "'a' and 'b'" in str(error.value)
    assert "fashion_mnist" in str(error.value) and "\n" not in str(error.value)


def test_seeds_versions_and_datasets_may_differ_in_one_column(built: Built) -> None:
    other_seed = generation("b", "efficientnet_lite0", protocol={"seed": 4, "versions": {"torch": "2.14"}})
    table = built("table5", generation("a", "efficientnet_lite0"), other_seed, ffhq("c", "efficientnet_lite0"))
    assert (table.frame["source"] != PUBLISHED).sum() == 3


def test_a_footnote_tells_rows_with_other_versions_of_a_library(built: Built) -> None:
    def of(name: str, version: str) -> dict[str, Any]:
        return generation(name, "efficientnet_lite0", protocol={"versions": {"torch": version, "numpy": "2.4"}})

    notes = footnotes(built("table5", of("a", "2.13"), of("b", "2.14"), of("c", "2.13")))
    assert [note for note in notes if "versions of" in note] == [
        "Measured with several versions of torch: 2.13 (a, c); 2.14 (b)."
    ]
    same = footnotes(built("table5", of("a", "2.13"), of("b", "2.13")))
    assert not [note for note in same if "versions of" in note]


def test_a_line_per_dataset_and_protocol_names_the_columns_that_share_it(built: Built) -> None:
    notes = footnotes(built("table5", generation("a", "efficientnet_lite0"), ffhq("c", "efficientnet_lite0")))
    names = ("FD", "Score", "Precision", "Recall", "F1", "Density", "Coverage")
    columns = ", ".join(f"{name} (EfficientNet-Lite0)" for name in names)
    told = [note.partition(": ") for note in notes if note.startswith("Protocol")]
    assert [where for where, _, _ in told] == [
        f"Protocol on {name} of {columns}" for name in ("fashion_mnist", "ffhq256")
    ]
    assert ["count 1000," in words for _, _, words in told] == [True, False]


def test_other_networks_hash_does_not_concern_a_metric(built: Built) -> None:
    one, other = reconstruction("a"), reconstruction("b")
    other["values"]["lpips_vgg"]["protocol"]["lpips_vgg_sha256"] = "f" * 64
    with pytest.raises(InputError, match=r"column LPIPS-VGG"):
        built("table2", one, other)
    del one["values"]["lpips_vgg"]
    built("table2", one, other)


def make_by_command(folder: Path, table: str, rows: dict[str, dict[str, Any]]) -> "subprocess.CompletedProcess[str]":
    """The stage's own command on summaries by row."""
    arguments = []
    for name, summary in rows.items():
        arguments.append(f"{name}={write_summary(folder / f'{name}.json', summary)}")
    settings = json.dumps({"table": table, "rows": [row_of(summary) for summary in rows.values()]})
    command = [sys.executable, "-m", "pipeline.make_table", settings, *arguments, "--csv", str(folder / "table.csv")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_the_command_stops_with_one_line_that_names_what_differs(tmp_path: Path) -> None:
    """10,240 samples, as in the paper's text, and 50,000, as in its tables, are two protocols."""
    rows = {"text": ffhq("text", "inception", protocol={"count": 10_240}), "tables": ffhq("tables", "inception")}
    stopped = make_by_command(tmp_path, "text_10k", rows)
    assert stopped.returncode == 2 and not (tmp_path / "table.csv").exists()
    [line] = stopped.stderr.splitlines()[-1:]
    assert line == (
        "error: column FID ↓, dataset ffhq256: rows 'text' and 'tables' have two protocols: count 10240 and 50000;"
        " evaluate both alike or put them in two tables"
    )
    made = make_by_command(tmp_path, "text_10k", {"text": rows["text"]})
    assert made.returncode == 0 and (tmp_path / "table.csv").exists(), made.stderr


PAPER_REPOSITORY = {"precision_recall": "paper_repository", "layer": "fc2 before its ReLU"}


def vgg16(name: str, paper: bool) -> dict[str, Any]:
    """Precision and recall on VGG16 as torch-fidelity takes them, or as the paper's repository does."""
    protocol = PAPER_REPOSITORY if paper else {"precision_recall": "torch_fidelity", "layer": "fc2 after its ReLU"}
    metrics = {"precision": 0.8, "recall": 0.45, "f1": 0.576}
    return ffhq(name, "vgg16", space="vgg16_paper" if paper else "vgg16", numbers=metrics, protocol=protocol)


def test_two_protocols_of_precision_do_not_share_its_column(built: Built) -> None:
    with pytest.raises(InputError) as error:
        built("table5", vgg16("a", paper=False), vgg16("b", paper=True))
    assert str(error.value).startswith("column Precision ↑, dataset ffhq256: rows 'a' and 'b' have two protocols: ")
    for differing in (
        "layer 'fc2 after its ReLU' and 'fc2 before its ReLU'",
        "precision_recall 'torch_fidelity' and 'paper_repository'",
        "space 'vgg16' and 'vgg16_paper'",
    ):
        assert differing in str(error.value)


def test_one_row_with_two_protocols_of_precision_stops_too(built: Built) -> None:
    with pytest.raises(InputError, match=r"summaries of 'a': .*f1 has two protocols: .*space 'vgg16' and"):
        built("table5", vgg16("a", paper=False), vgg16("a", paper=True))


@pytest.mark.parametrize("paper", [False, True])
def test_either_protocol_of_precision_fills_the_column_alone(paper: bool, built: Built) -> None:
    table = built("table5", vgg16("a", paper), vgg16("b", paper))
    for name in ("a", "b"):
        assert float(row_named(table, name)["precision_measured"]) == 0.8
    word = "paper_repository" if paper else "torch_fidelity"
    assert f"precision_recall {word}" in to_markdown(table)


def test_published_rows_read_as_published_beside_any_protocol(built: Built) -> None:
    table = built("table5", vgg16("a", paper=True))
    words = {row["method"]: row["protocol"] for row in csv_rows(table)}
    assert words["StyleGAN2"] == "as published"
    assert words["BRIGHT"] == "as published; measured on 50000 samples"
