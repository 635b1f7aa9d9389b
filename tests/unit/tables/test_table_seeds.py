"""Several training seeds in a cell: mean ± standard deviation over them."""

import statistics
from typing import Any

import pytest
from made_summaries import Built, church, complexity, csv_rows, differences, generation, reconstruction, row_named

from pipeline.base.errors import InputError
from pipeline.tables.build import BOTH
from pipeline.tables.render import to_markdown

PSNR = (24.0, 24.6, 23.7)
SEEDS = [0, 1, 2]


def with_psnr(name: str, psnr: float, std: float = 2.0, **changes: Any) -> dict[str, Any]:
    made = reconstruction(name, numbers={"psnr": psnr}, **changes)
    made["values"]["psnr"]["std"] = std
    return made


def of_seeds(name: str, numbers: tuple[float, ...], **changes: Any) -> list[dict[str, Any]]:
    """A summary of each training seed, named as the workflow names them."""
    names = [name, *(f"{name}#{seed}" for seed in SEEDS[1 : len(numbers)])]
    return [with_psnr(each, number, **changes) for each, number in zip(names, numbers, strict=True)]


def test_a_cell_is_mean_and_deviation_over_seeds_and_the_csv_says_how_many(built: Built) -> None:
    table = built("table2", *of_seeds("main", PSNR), training_seeds=SEEDS)
    row = row_named(table, "main")
    assert float(row["psnr_measured"]) == pytest.approx(statistics.mean(PSNR))
    assert float(row["psnr_measured_seed_std"]) == pytest.approx(statistics.stdev(PSNR))
    assert row["psnr_measured_seeds"] == "3"
    assert float(row["psnr_measured_std"]) == 2.0, "the deviation over images is a column of its own"
    text = to_markdown(table)
    assert "| 24.10 ± 0.46 " in text
    assert "standard deviation over the training seeds 0, 1, 2" in text
    assert "± is two standard deviations over the images; " not in text
    assert len([row for row in csv_rows(table) if row["name"]]) == 1


def test_tables_of_one_seed_and_counts_have_no_columns_of_seeds(built: Built) -> None:
    table = built("table2", reconstruction("main"))
    assert not [column for column in table.frame if "seed" in column]
    assert "training seed" not in to_markdown(table)
    assert "23.81 ± 4.25" in to_markdown(table)
    counts = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)
    table = built("table7", *of_seeds("main", PSNR), counts, training_seeds=SEEDS)
    assert "hash_table_params_millions_measured_seeds" not in table.frame
    assert float(row_named(table, "main")["decoder_params_millions_measured"]) == 9.612345


def test_deviations_are_pooled_and_differences_taken_from_the_mean(built: Built) -> None:
    summaries = [with_psnr("main", 24.0, std=1.0), with_psnr("main#1", 24.0, std=3.0)]
    row = row_named(built("table2", *summaries, training_seeds=[0, 1]), "main")
    assert float(row["psnr_measured_std"]) == pytest.approx(5**0.5)
    summaries = [church(name, "64x64x4", numbers={"psnr": psnr}) for name, psnr in (("c", 26.0), ("c#1", 27.0))]
    row = row_named(built("table2", *summaries, training_seeds=[0, 1]), "c")
    assert row["source"] == BOTH and float(differences(row)["psnr_difference"]) == pytest.approx(26.5 - 26.34)


def test_what_one_seed_alone_has_keeps_its_interval(built: Built) -> None:
    one, *both = (
        generation(name, "efficientnet_lite0", intervals={"frechet_distance": [500.0, 600.0]})
        for name in ("real", "main", "main#1")
    )
    table = built("table5", one, *both, training_seeds=[0, 1])
    assert row_named(table, "real")["fd_efficientnet_lite0_measured_seeds"] == "1"
    assert row_named(table, "main")["fd_efficientnet_lite0_measured_low"] == ""
    assert "539.0 [500.0, 600.0]" in to_markdown(table) and "539.0 ± 0.0 " in to_markdown(table)


def test_summaries_of_other_seeds_protocols_or_models_stop(built: Built) -> None:
    other = generation("main#1", "efficientnet_lite0", protocol={"count": 500})
    with pytest.raises(InputError, match=r"rows 'main' and 'main#1' have two protocols: count 1000 and 500"):
        built("table5", generation("main", "efficientnet_lite0"), other, training_seeds=[0, 1])
    with pytest.raises(InputError, match=r"summaries of 'main': code_size is '8x8x4' in one and '4x4x8'"):
        built("table2", reconstruction("main"), reconstruction("main#1", code_size="4x4x8"), training_seeds=[0, 1])
    with pytest.raises(InputError, match=r"'main#5' is none of the table's rows \(main\)"):
        built("table2", reconstruction("main"), reconstruction("main#5"), training_seeds=[0, 1])
