"""Counts, other methods, intervals, seeds and provenance of measured rows."""

import json
import statistics
from typing import Any

import pytest
from made_summaries import (
    NO_KEYS,
    Built,
    church,
    complexity,
    csv_rows,
    differences,
    ffhq,
    generation,
    reconstruction,
    reconstruction_distance,
    row_named,
)

from pipeline.base.errors import InputError
from pipeline.tables.build import BOTH, COUNTED, MEASURED
from pipeline.tables.display import footnotes
from pipeline.tables.render import to_latex, to_markdown


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


@pytest.mark.parametrize("sample_kind", ["files", "diffusion"])
@pytest.mark.parametrize(("method", "fid"), [("StyleGAN2", "4.16"), ("LDM", "4.98"), ("ImageBART", "10.81")])
def test_measured_samples_of_another_method_stand_beside_its_published_row(
    method: str, fid: str, sample_kind: str, built: Built
) -> None:
    files = {"sample_kind": sample_kind, "method": method, "code_size": None}
    summaries = [ffhq("theirs", network, **files) for network in ("inception", "vgg16")]
    row = row_named(built("table5", *summaries), "theirs")
    assert (row["source"], row["method"], row["fid_published"]) == (BOTH, method, fid)
    assert float(row["fid_difference"]) == pytest.approx(538.987 - float(fid))
    assert row["protocol"] == "as published; measured on 50000 samples"
    if method == "StyleGAN2":
        assert float(row["precision_difference"]) == pytest.approx(0.71234 - 0.71)
        assert "is_difference" not in differences(row), "the paper prints no IS of StyleGAN2"


def test_another_number_of_samples_or_another_dataset_is_not_subtracted(built: Built) -> None:
    files: dict[str, Any] = {"sample_kind": "files", "method": "StyleGAN2", "code_size": None}
    few = row_named(built("table5", ffhq("few", "inception", protocol={"count": 10_000}, **files)), "few")
    assert few["source"] == MEASURED and not differences(few)
    assert "count 10000 (published 50000)" in few["notes"]
    other = row_named(built("table5", ffhq("other", "inception", **(files | {"dataset": "mine"}))), "other")
    assert other["source"] == MEASURED and not differences(other)


WITHOUT_TABLES = {"hash_tables.ngp": None, "hash_tables.tcnn": None}


def test_measured_first_stages_stand_beside_their_published_rows(built: Built) -> None:
    vqgan = church("vqgan", "32x32", method="VQGAN", **NO_KEYS, adversarial=None)
    row = row_named(built("table2", vqgan, church("bright", "32x32x4")), "vqgan")
    assert (row["source"], row["method"], row["psnr_published"]) == (BOTH, "VQGAN", "19.81")
    assert float(row["psnr_difference"]) == pytest.approx(23.8123456 - 19.81)
    counts = complexity("vqgan", "ffhq256", "16x16", WITHOUT_TABLES, method="VQGAN", **NO_KEYS)
    row = row_named(built("table3", counts), "vqgan")
    assert (row["source"], row["decoder_params_millions_published"]) == (COUNTED, "42.5")
    assert row["hash_table_params_millions_measured_ngp"] == "" and row["decoder_params_millions_measured"]
    assert row["missing"] == ""
    few, all_images = (
        reconstruction("rq", "ffhq256", count, method="RQ-VAE", code_size="16x16x4", **NO_KEYS, adversarial=None)
        for count in (1000, 10_000)
    )
    assert row_named(built("table2", all_images), "rq")["psnr_published"] == "24.53"
    row = row_named(built("table2", few), "rq")
    assert row["source"] == MEASURED and "count 1000 (published 10000)" in row["notes"]


def test_an_interval_stands_behind_its_number_and_a_footnote_says_how(built: Built) -> None:
    how = {"frechet_distance_interval": "95%, jackknife over 20 groups", "score_interval": "95%, Student's t"}
    intervals = {"frechet_distance": [551.23, 581.87], "score_mean": [3.1, 3.9]}
    table = built("table5", generation("main", intervals=intervals, protocol=how))
    row = row_named(table, "main")
    assert float(row["fd_efficientnet_lite0_measured"]) == 538.987
    assert float(row["fd_efficientnet_lite0_measured_low"]) == 551.23
    assert float(row["fd_efficientnet_lite0_measured_high"]) == 581.87
    assert row["recall_efficientnet_lite0_measured_low"] == ""
    for form in (to_markdown(table), to_latex(table)):
        assert "539.0 [551.2, 581.9]" in form and "3.46 [3.10, 3.90]" in form
        assert "0.512" in form and "0.512 [" not in form
    assert [note for note in footnotes(table) if note.startswith("[low, high]")] == [
        "[low, high] is an interval of the number before it: frechet distance 95%, jackknife over 20 groups;"
        " score 95%, Student's t."
    ]
    assert "[low, high]" not in to_markdown(built("table5", generation("main", protocol=how)))


def test_clean_fid_has_a_column_of_its_own_without_a_published_number(built: Built) -> None:
    clean = ffhq("main", "inception", space="inception_clean", numbers={"frechet_distance": 7.5})
    table = built("table5", ffhq("main", "inception", numbers={"frechet_distance": 7.25}), clean)
    row = row_named(table, "main")
    assert (row["source"], row["fid_measured"], row["fid_clean_measured"]) == (BOTH, "7.25", "7.5")
    assert "fid_clean_published" not in row and "fid_clean_difference" not in row
    assert "| FID (clean-fid) ↓ measured" in to_markdown(table)
    note = "network inception is missing (FID, IS): put it into results/networks"
    text = to_markdown(built("table5", generation("main"), missing=[note]))
    assert "FID (clean-fid) ↓" not in text and f"missing: {note}" in text


def test_distances_of_reconstructions_stand_in_table_2_beside_published_rows(built: Built) -> None:
    spaces = ("inception", "inception_clean", "efficientnet_lite0")
    table = built("table2", reconstruction("main"), *[reconstruction_distance("main", space) for space in spaces])
    row = row_named(table, "main")
    for key in ("rfid", "rfid_clean", "rfd_efficientnet_lite0"):
        assert float(row[f"{key}_measured"]) == 87.654 and float(row[f"{key}_measured_low"]) == 80
    assert row["protocol"] == "measured on 1000 validation images"
    header = to_markdown(table).splitlines()[2]
    for heading in ("rFID ↓ measured", "rFID (clean-fid) ↓ measured", "rFD (EfficientNet-Lite0) ↓ measured"):
        assert heading in header
    assert "87.65 [80.00, 95.00]" in to_markdown(table)
    distance = reconstruction_distance("c", "inception", dataset="lsun_church256", code_size="64x64x4")
    assert row_named(built("table2", church("c", "64x64x4"), distance), "c")["source"] == BOTH
    table = built("table2", reconstruction("a"), reconstruction_distance("a", "inception"), reconstruction("b"))
    assert "rfid_clean" in row_named(table, "a")["missing"] and "| 23.81" in to_markdown(table)


def of_seeds(numbers: list[float], deviations: list[float]) -> list[dict[str, Any]]:
    """A summary of each training seed, named as the workflow names them."""
    made = [reconstruction(f"main#{seed}", numbers={"psnr": number}) for seed, number in enumerate(numbers)]
    for summary, deviation in zip(made, deviations, strict=True):
        summary["values"]["psnr"]["std"] = deviation
    return [made[0] | {"name": "main"}, *made[1:]]


def test_a_cell_is_mean_and_deviation_over_seeds_and_the_csv_says_how_many(built: Built) -> None:
    counts = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)
    seeds = of_seeds([24.0, 24.6, 23.7], [1.0, 3.0, 2.0])
    table = built("table7", *seeds, counts, training_seeds=[0, 1, 2])
    row = row_named(table, "main")
    assert float(row["psnr_measured"]) == pytest.approx(statistics.mean([24.0, 24.6, 23.7]))
    assert float(row["psnr_measured_seed_std"]) == pytest.approx(statistics.stdev([24.0, 24.6, 23.7]))
    assert row["psnr_measured_seeds"] == "3"
    assert float(row["psnr_measured_std"]) == pytest.approx((14 / 3) ** 0.5), "pooled over the seeds"
    assert "hash_table_params_millions_measured_seeds" not in table.frame
    assert float(row["decoder_params_millions_measured"]) == 9.612345
    text = to_markdown(table)
    assert "| 24.10 ± 0.46 " in text
    assert "standard deviation over the training seeds 0, 1, 2" in text
    assert "± is two standard deviations over the images; " not in text
    assert len([row for row in csv_rows(table) if row["name"]]) == 1
    table = built("table2", reconstruction("main"))
    assert not [column for column in table.frame if "seed" in column]
    assert "training seed" not in to_markdown(table) and "23.81 ± 4.25" in to_markdown(table)


def test_over_seeds_the_difference_is_that_of_the_mean_and_one_seed_alone_keeps_its_interval(built: Built) -> None:
    summaries = [church(name, "64x64x4", numbers={"psnr": psnr}) for name, psnr in (("c", 26.0), ("c#1", 27.0))]
    row = row_named(built("table2", *summaries, training_seeds=[0, 1]), "c")
    assert row["source"] == BOTH and float(differences(row)["psnr_difference"]) == pytest.approx(26.5 - 26.34)
    intervals = {"frechet_distance": [500.0, 600.0]}
    samples = [generation(name, intervals=intervals) for name in ("real", "main", "main#1")]
    table = built("table5", *samples, training_seeds=[0, 1])
    assert row_named(table, "real")["fd_efficientnet_lite0_measured_seeds"] == "1"
    assert row_named(table, "main")["fd_efficientnet_lite0_measured_low"] == ""
    assert "539.0 [500.0, 600.0]" in to_markdown(table) and "539.0 ± 0.0 " in to_markdown(table)


def test_summaries_of_other_seeds_protocols_or_models_stop(built: Built) -> None:
    other = generation("main#1", protocol={"count": 500})
    with pytest.raises(InputError, match=r"rows 'main' and 'main#1' have two protocols: count 1000 and 500"):
        built("table5", generation("main"), other, training_seeds=[0, 1])
    with pytest.raises(InputError, match=r"summaries of 'main': code_size is '8x8x4' in one and '4x4x8'"):
        built("table2", reconstruction("main"), reconstruction("main#1", code_size="4x4x8"), training_seeds=[0, 1])
    with pytest.raises(InputError, match=r"'main#5' is none of the table's rows \(main\)"):
        built("table2", reconstruction("main"), reconstruction("main#5"), training_seeds=[0, 1])


PROVENANCE = {
    "seed": 7,
    "code": {"reconstruct": "ab" * 32, "train_autoencoder": "cd" * 32},
    "data": {"fashion_mnist": "ef" * 32},
    "weights": {
        "main": ["autoencoders/bright-8x8x4-00000000"],
        "main#1": ["autoencoders/bright-8x8x4-11111111"],
        "other": ["autoencoders/bright-4x4x8-22222222"],
    },
}


def test_a_row_names_its_origins_and_one_footnote_the_digests(built: Built) -> None:
    summaries = [reconstruction(name) for name in ("main", "main#1", "other")]
    table = built("table2", *summaries, training_seeds=[0, 1], provenance=PROVENANCE)
    made = json.loads(row_named(table, "main")["provenance"])
    assert [path.rsplit("/", 1)[-1] for path in made["summaries"]] == ["0.json", "1.json"]
    assert made["weights"] == ["autoencoders/bright-8x8x4-00000000", "autoencoders/bright-8x8x4-11111111"]
    assert (made["data_sha256"], made["seed"], made["training_seeds"]) == ("ef" * 32, 7, [0, 1])
    assert made["code"] == PROVENANCE["code"]
    assert json.loads(row_named(table, "other")["provenance"])["weights"] == PROVENANCE["weights"]["other"]
    [note] = [note for note in footnotes(table) if note.startswith("Provenance: ")]
    for told in ("root seed 7", "fashion_mnist efefefefefef;", "reconstruct abababab", "bright provenance"):
        assert told in note
    few, counts = church("main", "64x64x4", count=100), complexity("main", "lsun_church256", "64x64x4")
    table = built("table7", few, counts, provenance=PROVENANCE)
    made = {row["source"]: json.loads(row["provenance"]) for row in csv_rows(table) if row["name"]}
    assert made[COUNTED]["weights"] == [] and made[MEASURED]["weights"] == PROVENANCE["weights"]["main"]
    assert [path.rsplit("/", 1)[-1] for path in made[COUNTED]["summaries"]] == ["1.json"]
    assert len(made[MEASURED]["summaries"]) == 2
