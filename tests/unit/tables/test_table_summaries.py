"""Summaries by row and their protocols, what is missing, and the display of a table for its readers."""

from pathlib import Path
from typing import Any

import pytest
from made_summaries import (
    Built,
    church,
    complexity,
    csv_rows,
    ffhq,
    generation,
    reconstruction,
    row_named,
)

from pipeline.base.errors import InputError
from pipeline.tables.display import display, footnotes, look
from pipeline.tables.display_table import read_display
from pipeline.tables.render import to_json, to_latex, to_markdown


def test_missing_network_says_what_to_put_where(built: Built) -> None:
    note = "network clip is missing (CLIP-FID): put ViT-B-32.pt (from a server) into results/networks"
    named = "FID, IS: put weights-inception.pth into results/networks"
    table = built("table5", generation("main"), missing=[note, named])
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
    row = row_named(built("table5", rows=[{"name": "main", "dataset": "ffhq256", "label": "BRIGHT (LDM)"}]), "main")
    assert row["missing"].startswith("fid; fid_clean; clip_fid; is") and row["method"] == "BRIGHT (LDM)"


def vgg16(name: str, paper: bool) -> dict[str, Any]:
    """Precision and recall on VGG16 as torch-fidelity takes them, or as the paper's repository does."""
    how = ("paper_repository", "fc2 before its ReLU") if paper else ("torch_fidelity", "fc2 after its ReLU")
    protocol = dict(zip(("precision_recall", "layer"), how, strict=True))
    metrics = {"precision": 0.8, "recall": 0.45, "f1": 0.576}
    return ffhq(name, "vgg16", space="vgg16_paper" if paper else "vgg16", numbers=metrics, protocol=protocol)


OTHER_CODE = complexity("main", "fashion_mnist", "8x8x8", feature_size=16)


@pytest.mark.parametrize(
    ("table", "summaries", "rows", "told"),
    [
        ("table2", [], [{"name": "main", "dataset": "d"}], "row 'main'"),
        ("table2", [reconstruction("x")], [{"name": "main", "dataset": "d"}], "'x' is none of the table's rows"),
        ("table2", [complexity("main", "d", "8x8x4")], [{"name": "main"}], "kind complexity"),
        ("table2", [reconstruction("main")] * 2, [{"name": "main"}], "comes twice"),
        ("table2", [], [{"name": "a", "dataset": "d"}] * 2, "a name comes twice"),
        ("table7", [reconstruction("main"), OTHER_CODE], [{"name": "main"}], "code_size is '8x8x4' in one and '8x8x8'"),
        ("table2", [reconstruction("main", numbers={"psnr": "many"})], [{"name": "main"}], "0.json: values.psnr.numb"),
        (
            "table5",
            [vgg16("a", False), vgg16("a", True)],
            [{"name": "a"}],
            "'a': .*f1 has two protocols: .*'vgg16' and",
        ),
    ],
)
def test_wrong_summaries_get_one_line(
    table: str, summaries: list[dict[str, Any]], rows: list[Any], told: str, built: Built
) -> None:
    with pytest.raises(InputError, match=told) as error:
        built(table, *summaries, rows=rows)
    assert "\n" not in str(error.value)


def test_the_line_of_what_to_look_at_names_or_counts_the_columns(built: Built) -> None:
    told = look(built("table2", reconstruction("main"), church("c", "32x32x8")))
    assert told == (
        "Rows of one dataset, by Method and Code size: lower is better in LPIPS and LPIPS-VGG;"
        " higher is better in SSIM and PSNR (dB)."
    )
    told = look(built("table7", reconstruction("main"), complexity("c", "ffhq256", "16x16x16")))
    assert told.endswith("; less is cheaper in Hash tables (M), Decoder (M) and Decoding GFLOPs.")
    assert "C_key" in told
    told = look(built("table5", generation("main")))
    assert "lower is better in FID, CLIP-FID and FD (EfficientNet-Lite0);" in told
    assert told.endswith("higher is better in IS, Precision, Recall and 7 more.")


def test_rows_name_their_entry_and_published_rows_none(built: Built) -> None:
    shown = display(built("table2", reconstruction("main")))
    measured = [entry for row, entry in zip(shown.rows, shown.entries, strict=True) if shown.is_measured(row)]
    assert measured == ["autoencoders.main"]
    assert shown.entries.count(None) == len(shown.rows) - 1
    assert display(built("table5", generation("main"))).entries[-1] == "samples.main"


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
    made = generation("main", intervals={"frechet_distance": [500.0, 600.0]})
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
        ({"count": 500}, "count 1000 and 500; evaluate both alike or put them in two tables"),
    ],
)
def test_two_protocols_in_one_column_stop(change: dict[str, Any], told: str, built: Built) -> None:
    line = r"^column FD \(EfficientNet-Lite0\) ↓, dataset fashion_mnist: rows 'a' and 'b' have two protocols: "
    with pytest.raises(InputError, match=line + told) as error:
        built("table5", generation("a"), generation("b", protocol=change))
    assert "\n" not in str(error.value)


def test_other_versions_of_a_library_may_share_a_column_and_are_in_a_footnote(built: Built) -> None:
    def of(name: str, version: str, seed: int = 3) -> dict[str, Any]:
        return generation(name, protocol={"versions": {"torch": version, "numpy": "2.4"}, "seed": seed})

    notes = footnotes(built("table5", of("a", "2.13"), of("b", "2.14", seed=4), of("c", "2.13")))
    told = [note for note in notes if "versions of" in note]
    assert told == ["Measured with several versions of torch: 2.13 (a, c); 2.14 (b)."]
    same = footnotes(built("table5", of("a", "2.13"), of("b", "2.13")))
    assert not [note for note in same if "versions of" in note]


def test_a_line_per_dataset_and_protocol_names_the_columns_that_share_it(built: Built) -> None:
    notes = footnotes(built("table5", generation("a"), ffhq("c", "efficientnet_lite0")))
    names = ("FD", "Score", "Precision", "Recall", "F1", "Density", "Coverage")
    columns = ", ".join(f"{name} (EfficientNet-Lite0)" for name in names)
    told = [note.partition(": ") for note in notes if note.startswith("Protocol")]
    datasets = ("fashion_mnist", "ffhq256")
    assert [where for where, _, _ in told] == [f"Protocol on {name} of {columns}" for name in datasets]
    assert ["count 1000," in words for _, _, words in told] == [True, False]


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
    words = {row["method"]: row["protocol"] for row in csv_rows(table)}
    assert (words["StyleGAN2"], words["BRIGHT"]) == ("as published", "as published; measured on 50000 samples")
    with pytest.raises(InputError, match=r"^column Precision ↑, dataset ffhq256: rows 'a' and 'b' have two protocols"):
        built("table5", vgg16("a", paper), vgg16("b", not paper))
