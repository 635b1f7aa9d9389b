"""What a table says to look at, and the entry of the config that a row comes from."""

from pathlib import Path

import pytest
from made_summaries import Built, church, complexity, generation, reconstruction

from pipeline.settings.tables import TABLES
from pipeline.tables.display import display, look
from pipeline.tables.display_table import read_display
from pipeline.tables.render import to_json


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
