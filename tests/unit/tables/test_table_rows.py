"""Measured rows beside published ones: numbers as printed, a difference only between equals."""

import re
from decimal import Decimal
from typing import Any

import pytest
from made_summaries import Built, church, csv_rows, differences, ffhq, published_csv, reconstruction, row_named

from pipeline.settings.tables import TABLES
from pipeline.tables.build import BOTH, MEASURED, PUBLISHED
from pipeline.tables.render import to_markdown


@pytest.mark.parametrize("name", [name for name, layout in TABLES.items() if layout.in_paper])
def test_published_numbers_keep_their_decimals(name: str, built: Built) -> None:
    table = built(name)
    rows = csv_rows(table)
    assert len(rows) == len(published_csv(name))
    markdown = to_markdown(table)
    for row, printed in zip(rows, published_csv(name), strict=True):
        assert (row["source"], row["protocol"]) == (PUBLISHED, "as published")
        for quantity in table.entry.quantities:
            if quantity.is_published:
                assert row[f"{quantity.key}_published"] == printed.get(quantity.key, "")
            if quantity.is_published and printed.get(quantity.key):
                assert re.search(rf"[ |]{re.escape(printed[quantity.key])}[ |]", markdown)


def test_demo_row_subtracts_nothing_from_published_rows(built: Built) -> None:
    table = built("table2", reconstruction("main"))
    rows = csv_rows(table)
    assert [row["source"] for row in rows] == [PUBLISHED] * 8 + [MEASURED]
    assert not any(differences(row) for row in rows)
    demo = row_named(table, "main")
    assert demo["dataset"] == "fashion_mnist"
    assert demo["lpips_published"] == "" and float(demo["lpips_measured"]) == 0.02154321
    assert "No difference is shown" in to_markdown(table)
    assert "difference |" not in to_markdown(table)
    assert "fashion_mnist" in to_markdown(table).splitlines()[0]


def test_matching_row_shows_the_difference_in_the_published_row(built: Built) -> None:
    table = built("table2", church("c64", "64x64x4"), reconstruction("main"))
    row = row_named(table, "c64")
    assert (row["source"], row["psnr_published"]) == (BOTH, "26.34")
    assert Decimal(row["psnr_difference"]) == Decimal("23.8123456") - Decimal("26.34")
    assert len(csv_rows(table)) == 9
    assert "−2.53" in to_markdown(table)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"count": 200}, "count 200 (published 300)"),
        ({"feature_size": 32}, "feature_size 32 (published 64)"),
        ({"key_length": 2}, "key_length 2 (published 1)"),
        ({"code_noise": "none"}, "code_noise none (published after_tiling)"),
        ({"code_size": "64x64x8"}, "code_size 64x64x8 (published 64x64x4)"),
    ],
)
def test_what_differs_keeps_a_row_from_being_subtracted(change: dict[str, Any], told: str, built: Built) -> None:
    table = built("table2", church("c64", **{"code_size": "64x64x4"} | change))
    row = row_named(table, "c64")
    assert row["source"] == MEASURED and not differences(row)
    if "code_size" not in change:
        assert told in row["notes"] and told in to_markdown(table)


def test_table4_needs_the_papers_number_of_training_images(built: Built) -> None:
    as_paper = church("with", "32x32x4", train_images=800_000)
    without = church("without", "32x32x4", train_images=800_000, code_noise="none")
    table = built("table4", as_paper, without, church("short", "32x32x4", train_images=1000))
    assert row_named(table, "with")["method"] == "BRIGHT (with noise)"
    assert row_named(table, "without")["method"] == "BRIGHT (without noise)"
    assert differences(row_named(table, "with")) and differences(row_named(table, "without"))
    assert not differences(row_named(table, "short"))


def test_second_match_of_a_published_row_stands_on_its_own_line(built: Built) -> None:
    variant = church("r1", "64x64x4", adversarial="logistic_r1")
    table = built("table2", variant, church("paper", "64x64x4"))
    assert row_named(table, "paper")["source"] == BOTH
    other = row_named(table, "r1")
    assert other["source"] == MEASURED and other["psnr_published"] == ""
    assert other["method"] == "BRIGHT (logistic adversarial loss)"
    assert differences(other) and "compared with the published BRIGHT 64x64x4" in other["notes"]


def test_generation_difference_needs_count_reference_and_code_size(built: Built) -> None:
    assert "fid_difference" in differences(row_named(built("table5", ffhq("a", "inception")), "a"))
    fewer = built("table5", ffhq("a", "inception", protocol={"count": 10_000}))
    assert row_named(fewer, "a")["source"] == MEASURED
    other = built("table5", ffhq("a", "inception", protocol={"reference_count": 70_000}))
    assert set(differences(row_named(other, "a"))) == {"is_difference"}
    assert "reference_count 70000 (published 60000)" in row_named(other, "a")["notes"]
    unknown_code = ffhq("a", "inception", code_size=None)
    assert row_named(built("table5", unknown_code), "a")["source"] == MEASURED
    told_by_row = built("table5", unknown_code, rows=[{"name": "a", "code_size": "64x64x4"}])
    assert row_named(told_by_row, "a")["source"] == BOTH
    real = ffhq("a", "inception", sample_kind="real", method="Real images (train)")
    assert row_named(built("table5", real), "a")["source"] == MEASURED


def test_text_numbers_match_10240_samples(built: Built) -> None:
    table = built("text_10k", ffhq("a", "inception", protocol={"count": 10_240}))
    assert row_named(table, "a")["fid_published"] == "8.47"
    assert row_named(table, "a")["samples"] == "10240"
