"""Parameters and multiply-accumulates in the tables: they need no training."""

import pytest
from made_summaries import Built, church, complexity, csv_rows, differences, row_named

from pipeline.tables.build import COUNTED, MEASURED
from pipeline.tables.render import to_markdown


def test_counts_at_the_papers_sizes_stand_beside_the_published_ones(built: Built) -> None:
    table = built(
        "table3",
        complexity("demo", "fashion_mnist", "8x8x4", {"decoder_params": 0.312345}),
        complexity("c64", "lsun_church256", "64x64x4"),
        complexity("f16", "ffhq256", "16x16x8"),
        rows=[{"name": "demo"}],
    )
    row = row_named(table, "c64")
    assert row["source"] == COUNTED and row["hash_table_params_millions_published"] == "11.4"
    assert float(row["hash_table_params_millions_measured_ngp"]) == 10.607648
    assert float(row["hash_table_params_millions_measured_tcnn"]) == 10.138048
    assert float(row["hash_table_params_millions_difference"]) == pytest.approx(10.607648 - 11.4)
    assert float(row["decoder_gflops_difference"]) == pytest.approx(63.397632 - 63.40)
    assert float(row["decoder_gflops_measured_true_count"]) == 67.9
    assert row_named(table, "f16")["hash_table_params_millions_published"] == "21.2"
    assert not differences(row_named(table, "demo"))
    assert "0.312" in to_markdown(table), "a small model's counts keep their digits"


def test_counts_stand_beside_published_ones_without_a_training_or_equal_images(built: Built) -> None:
    longer_key = complexity("k2", "lsun_church256", "64x64x4", key_length=2)
    row = row_named(built("table7", longer_key), "k2")
    assert (row["hash_table_params_millions_published"], row["psnr_published"]) == ("30.5", "26.47")
    assert row["psnr_measured"] == "" and row["missing"] == ""
    small = complexity("h32", "lsun_church256", "32x32x8", feature_size=32)
    assert row_named(built("table8", small), "h32")["decoder_params_millions_published"] == "35.1"
    few = church("c64", "64x64x4", count=100)
    rows = csv_rows(built("table7", few, complexity("c64", "lsun_church256", "64x64x4")))
    assert [row["source"] for row in rows if row["name"] == "c64"] == [COUNTED, MEASURED]
    assert rows[0]["psnr_measured"] == "" and rows[0]["decoder_gflops_difference"]
