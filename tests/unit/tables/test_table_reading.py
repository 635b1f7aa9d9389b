"""What a table says to look at, and the entry of the config that a row comes from."""

import json
from collections.abc import Callable

import pytest
from made_summaries import church, complexity, generation, reconstruction

from pipeline.tables.build import Table
from pipeline.tables.layout import LAYOUTS
from pipeline.tables.reading import look
from pipeline.tables.render import to_json


def test_it_names_the_columns_by_their_arrows_and_what_tells_rows_apart(built: Callable[..., Table]) -> None:
    told = look(built("table2", reconstruction("main"), church("c", "32x32x8")))
    assert told == (
        "Rows of one dataset, by Method and Code size: lower is better in LPIPS and LPIPS-VGG;"
        " higher is better in SSIM and PSNR (dB)."
    )


def test_counts_without_an_arrow_are_costs(built: Callable[..., Table]) -> None:
    told = look(built("table7", reconstruction("main"), complexity("c", "ffhq256", "16x16x16")))
    assert told.endswith("; less is cheaper in Hash tables (M), Decoder (M) and Decoding GFLOPs.")
    assert "C_key" in told


def test_many_columns_are_counted(built: Callable[..., Table]) -> None:
    told = look(built("table5", generation("main", "efficientnet_lite0")))
    assert "lower is better in FID, CLIP-FID and FD (EfficientNet-Lite0);" in told
    assert told.endswith("higher is better in IS, Precision, Recall and 7 more.")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_has_a_column_of_which_it_says_what_is_better(name: str) -> None:
    arrows = {quantity.label[-1] for quantity in LAYOUTS[name].quantities}
    assert arrows & {"↓", "↑"}


def test_rows_name_their_entry_and_published_rows_none(built: Callable[..., Table]) -> None:
    parts = json.loads(to_json(built("table2", reconstruction("main"))))
    measured = [entry for row, entry in zip(parts["rows"], parts["entries"], strict=True) if "measured" in row[0]]
    assert measured == ["autoencoders.main"]
    assert parts["entries"].count(None) == len(parts["rows"]) - 1
    parts = json.loads(to_json(built("table5", generation("main", "efficientnet_lite0"))))
    assert parts["entries"][-1] == "samples.main"
