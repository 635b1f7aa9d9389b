"""Measured rows: counts, other methods, intervals, seeds, provenance, and the tables beyond the paper's."""

import json
import statistics
from typing import Any

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.tables.build import BOTH, COUNTED, MEASURED
from bright_pipeline.tables.display import footnotes
from bright_pipeline.tables.render import to_latex, to_markdown
from built_tables import NO_KEYS, Built, csv_rows, differences, row_named
from made_summaries import (
    church,
    codes,
    complexity,
    decoding,
    ffhq,
    generation,
    reconstruction,
    reconstruction_distance,
    training,
)


def test_counts_stand_beside_published_ones_without_a_training_or_equal_images(built: Built) -> None:
    counts = complexity("c64", "lsun_church256", "64x64x4")
    demo = complexity("demo", "fashion_mnist", "8x8x4", {"decoder_params": 0.312345})
    table = built("table3", demo, counts, complexity("f16", "ffhq256", "16x16x8"), rows=[{"name": "demo"}])
    row = row_named(table, "c64")
    assert row["source"] == COUNTED and row["hash_table_params_millions_published"] == "11.4"
    assert float(row["hash_table_params_millions_measured_ngp"]) == 10.607648
    assert float(row["hash_table_params_millions_measured_tcnn"]) == 10.138048
    assert float(row["hash_table_params_millions_difference"]) == pytest.approx(10.607648 - 11.4)
    assert float(row["decoder_gflops_difference"]) == pytest.approx(63.397632 - 63.40)
    assert float(row["decoder_gflops_measured_true_count"]) == 67.9
    assert not differences(row_named(table, "demo"))
    assert "0.312" in to_markdown(table), "a small model's counts keep their digits"
    row = row_named(built("table7", complexity("k2", "lsun_church256", "64x64x4", key_length=2)), "k2")
    assert (row["hash_table_params_millions_published"], row["psnr_published"]) == ("30.5", "26.47")
    assert row["psnr_measured"] == "" and row["missing"] == ""
    rows = csv_rows(built("table7", church("c64", "64x64x4", count=100), counts))
    quality, counted = (row for row in rows if row["name"] == "c64")
    assert (quality["source"], counted["source"]) == (MEASURED, COUNTED)
    assert counted["psnr_measured"] == "" and counted["decoder_gflops_difference"]


@pytest.mark.parametrize("sample_kind", ["files", "diffusion"])
@pytest.mark.parametrize(("method", "fid"), [("StyleGAN2", "4.16"), ("LDM", "4.98"), ("ImageBART", "10.81")])
def test_samples_of_another_method_stand_beside_its_row(method: str, fid: str, sample_kind: str, built: Built) -> None:
    files = {"sample_kind": sample_kind, "method": method, "code_size": None}
    summaries = [ffhq("theirs", network, **files) for network in ("inception", "vgg16")]
    row = row_named(built("table5", *summaries), "theirs")
    assert (row["source"], row["method"], row["fid_published"]) == (BOTH, method, fid)
    assert float(row["fid_difference"]) == pytest.approx(538.987 - float(fid))
    assert row["protocol"] == "as published; measured on 50000 samples"
    if method == "StyleGAN2":
        assert float(row["precision_difference"]) == pytest.approx(0.71234 - 0.71)
        assert "is_difference" not in differences(row), "the paper prints no IS of StyleGAN2"


WITHOUT_TABLES = {"hash_tables.ngp": None, "hash_tables.tcnn": None}


def test_measured_first_stages_stand_beside_their_published_rows(built: Built) -> None:
    vqgan = church("vqgan", "32x32", method="VQGAN", **NO_KEYS, adversarial=None)
    row = row_named(built("table2", vqgan, church("bright", "32x32x4")), "vqgan")
    assert (row["source"], row["method"], row["psnr_published"]) == (BOTH, "VQGAN", "19.81")
    counts = complexity("vqgan", "ffhq256", "16x16", WITHOUT_TABLES, method="VQGAN", **NO_KEYS)
    row = row_named(built("table3", counts), "vqgan")
    assert (row["source"], row["decoder_params_millions_published"], row["missing"]) == (COUNTED, "42.5", "")
    assert row["hash_table_params_millions_measured_ngp"] == "" and row["decoder_params_millions_measured"]
    few = reconstruction("rq", "ffhq256", 1000, method="RQ-VAE", code_size="16x16x4", **NO_KEYS, adversarial=None)
    row = row_named(built("table2", few), "rq")
    assert row["source"] == MEASURED and "count 1000 (published 10000)" in row["notes"]


def test_an_interval_stands_behind_its_number_and_a_footnote_says_how(built: Built) -> None:
    how = {"frechet_distance_interval": "95%, jackknife over 20 groups", "score_interval": "95%, Student's t"}
    intervals = {"frechet_distance": [551.23, 581.87], "score_mean": [3.1, 3.9]}
    table = built("table5", generation("main", intervals=intervals, protocol=how))
    row = row_named(table, "main")
    assert float(row["fd_efficientnet_lite0_measured_low"]) == 551.23
    assert float(row["fd_efficientnet_lite0_measured_high"]) == 581.87
    for form in (to_markdown(table), to_latex(table)):
        assert "539.0 [551.2, 581.9]" in form and "3.46 [3.10, 3.90]" in form and "0.512 [" not in form
    (note,) = (note for note in footnotes(table) if note.startswith("[low, high]"))
    assert "frechet distance 95%, jackknife over 20 groups; score 95%, Student's t." in note
    assert "[low, high]" not in to_markdown(built("table5", generation("main", protocol=how)))


def test_clean_fid_has_a_column_of_its_own_without_a_published_number(built: Built) -> None:
    clean = ffhq("main", "inception", space="inception_clean", numbers={"frechet_distance": 7.5})
    table = built("table5", ffhq("main", "inception", numbers={"frechet_distance": 7.25}), clean)
    row = row_named(table, "main")
    assert (row["source"], row["fid_measured"], row["fid_clean_measured"]) == (BOTH, "7.25", "7.5")
    assert "fid_clean_published" not in row and "fid_clean_difference" not in row
    assert "| FID (clean-fid) ↓ measured" in to_markdown(table)
    assert "FID (clean-fid) ↓" not in to_markdown(built("table5", generation("main")))


def test_distances_of_reconstructions_stand_in_table_2_beside_published_rows(built: Built) -> None:
    spaces = ("inception", "inception_clean", "efficientnet_lite0")
    table = built("table2", reconstruction("main"), *[reconstruction_distance("main", space) for space in spaces])
    row = row_named(table, "main")
    for key in ("rfid", "rfid_clean", "rfd_efficientnet_lite0"):
        assert float(row[f"{key}_measured"]) == 87.654 and float(row[f"{key}_measured_low"]) == 80
    for text in ("rFID ↓ measured", "rFID (clean-fid) ↓ measured", "rFD (EfficientNet-Lite0)", "87.65 [80.00, 95.00]"):
        assert text in to_markdown(table)
    distance = reconstruction_distance("c", "inception", dataset="lsun_church256", code_size="64x64x4")
    assert row_named(built("table2", church("c", "64x64x4"), distance), "c")["source"] == BOTH
    table = built("table2", reconstruction("a"), reconstruction_distance("a", "inception"), reconstruction("b"))
    assert "rfid_clean" in row_named(table, "a")["missing"]


def of_seeds(numbers: list[float], deviations: list[float]) -> list[dict[str, Any]]:
    """A summary of each training seed, named as the workflow names them."""
    made = [reconstruction(f"main#{seed}", numbers={"psnr": number}) for seed, number in enumerate(numbers)]
    for summary, deviation in zip(made, deviations, strict=True):
        summary["values"]["psnr"]["std"] = deviation
    return [made[0] | {"name": "main"}, *made[1:]]


def test_a_cell_is_mean_and_deviation_over_seeds_and_the_csv_says_how_many(built: Built) -> None:
    counts = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)
    numbers = [24.0, 24.6, 23.7]
    table = built("table7", *of_seeds(numbers, [1.0, 3.0, 2.0]), counts, training_seeds=[0, 1, 2])
    (row,) = (row for row in csv_rows(table) if row["name"])
    assert float(row["psnr_measured"]) == pytest.approx(statistics.mean(numbers))
    assert float(row["psnr_measured_seed_std"]) == pytest.approx(statistics.stdev(numbers))
    assert row["psnr_measured_seeds"] == "3"
    assert float(row["psnr_measured_std"]) == pytest.approx((14 / 3) ** 0.5), "pooled over the seeds"
    assert "hash_table_params_millions_measured_seeds" not in table.frame
    assert float(row["decoder_params_millions_measured"]) == 9.612345
    text = to_markdown(table)
    assert "| 24.10 ± 0.46 " in text and "the mean over the training seeds 0, 1, 2" in text
    assert "± is two standard deviations over images; " not in text
    table = built("table2", reconstruction("main"))
    assert not [column for column in table.frame if "seed" in column] and "training seed" not in to_markdown(table)


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


PROVENANCE: dict[str, Any] = {
    "seed": 7,
    "code": {"reconstruct": "ab" * 32, "train_autoencoder": "cd" * 32},
    "data": {"fashion_mnist": "ef" * 32},
    "weights": {"main": ["autoencoders/main-00000000"], "main#1": ["autoencoders/main-11111111"], "other": []},
}


def test_a_row_names_its_origins_and_one_footnote_the_digests(built: Built) -> None:
    summaries = [reconstruction(name) for name in ("main", "main#1", "other")]
    table = built("table2", *summaries, training_seeds=[0, 1], provenance=PROVENANCE)
    made = json.loads(row_named(table, "main")["provenance"])
    assert [path.rsplit("/", 1)[-1] for path in made["summaries"]] == ["0.json", "1.json"]
    assert made["weights"] == PROVENANCE["weights"]["main"] + PROVENANCE["weights"]["main#1"]
    assert (made["data_sha256"], made["seed"], made["training_seeds"]) == ("ef" * 32, 7, [0, 1])
    assert made["code"] == PROVENANCE["code"]
    [note] = [note for note in footnotes(table) if note.startswith("Provenance: ")]
    for told in ("root seed 7", "fashion_mnist efefefefefef;", "reconstruct abababab"):
        assert told in note
    few, counts = church("main", "64x64x4", count=100), complexity("main", "lsun_church256", "64x64x4")
    table = built("table7", few, counts, provenance=PROVENANCE)
    made = {row["source"]: json.loads(row["provenance"]) for row in csv_rows(table) if row["name"]}
    assert made[COUNTED]["weights"] == [] and made[MEASURED]["weights"] == PROVENANCE["weights"]["main"]
    assert [path.rsplit("/", 1)[-1] for path in made[COUNTED]["summaries"]] == ["1.json"]


def test_section34_has_each_familys_own_numbers(built: Built) -> None:
    absent = dict.fromkeys(("tolerated_half_cells", "entries", "used_share", "perplexity"))
    kl = codes("kl", absent, method="KL", **NO_KEYS | {"table_entries": None, "code_size": "8x8"})
    table = built("section34", codes("main"), kl)
    main, without = (row_named(table, name) for name in ("main", "kl"))
    assert {row["source"] for row in csv_rows(table)} == {MEASURED}
    assert float(main["used_share_measured"]) == 68.125 and float(main["tolerated_half_cells_measured"]) == 2.1
    assert without["perplexity_measured"] == "" and float(without["code_variance_measured"]) == 0.021
    text = to_markdown(table)
    assert "68.1" in text and "Entries in use" in text and "published" not in text
    assert "missing" not in text, "what a family has none of does not apply"


def test_bytes_of_tables_decoder_and_codes_stand_beside_quality(built: Built) -> None:
    small = codes("small", {"table_megabytes": 0.08192, "kept_megabytes": 11.79792}, table_entries="2^10")
    table = built("table_sizes", codes("large"), small, reconstruction("large"), reconstruction("small"))
    row = row_named(table, "small")
    assert row["table_entries"] == "2^10" and row_named(table, "large")["table_entries"] == "2^18"
    numbers = {"table_megabytes": 0.08192, "code_bytes": 1024, "kept_megabytes": 11.79792, "psnr": 23.8123456}
    assert {key: float(row[f"{key}_measured"]) for key in numbers} == numbers
    assert "0.0819" in to_markdown(table), "small tables keep their digits"


def test_ablations_have_reconstructions_and_samples_of_one_model_in_a_row(built: Built) -> None:
    rows = [{"name": "base", "variant": "(the first row)"}, {"name": "bare", "variant": "features mlp"}]
    summaries = []
    for seed, mark in enumerate(("", "#1", "#2")):
        for name, psnr, words in (("base", 24.0, None), ("bare", 25.0, "no tables")):
            summaries.append(reconstruction(name + mark, numbers={"psnr": psnr + seed}, ablation=words))
            summaries.append(reconstruction_distance(name + mark))
        summaries.append(generation(f"base{mark}", code_size="8x8x4"))
    table = built("ablations", *summaries, rows=rows, training_seeds=[0, 1, 2])
    base, bare = row_named(table, "base"), row_named(table, "bare")
    assert (base["method"], bare["method"]) == ("BRIGHT", "BRIGHT (no tables)"), "and not who made the samples"
    assert (float(base["psnr_measured"]), base["psnr_measured_seed_std"]) == (25.0, "1.0")
    assert float(base["fd_efficientnet_lite0_measured"]) == 538.987 and bare["fd_efficientnet_lite0_measured"] == ""
    assert float(bare["rfd_efficientnet_lite0_measured"]) == 87.654
    text = to_markdown(table)
    assert "FD (EfficientNet-Lite0) of samples" in text and "26.00 ± 1.00" in text and "| features mlp " in text
    assert "FID of samples" not in text, "no Inception in these summaries"


def distances(name: str, of_samples: float, of_reconstructions: float, reference: str = "1") -> list[dict[str, Any]]:
    """Summaries of samples and of reconstructions, the latter against the reference named."""

    def changes(distance: float, digit: str) -> dict[str, Any]:
        protocol = {"reference": "validation", "reference_count": 9, "reference_sha256": 64 * digit}
        return {"numbers": {"frechet_distance": distance}, "protocol": protocol, "code_size": "8x8x4"}

    samples = generation(name, **changes(of_samples, "1"))
    return [samples, reconstruction_distance(name, **changes(of_reconstructions, reference))]


RATIO = "fd_efficientnet_lite0_over_rfd_efficientnet_lite0_measured"


def test_a_distance_of_samples_stands_over_that_of_reconstructions_from_the_same_images(built: Built) -> None:
    seeds = [*distances("main", 400, 200), *distances("main#1", 600, 150)]
    table = built("latent_diffusion", *seeds, training_seeds=[0, 1])
    row = row_named(table, "main")
    assert float(row[RATIO]) == (2 + 4) / 2, "the mean of the ratios, not the ratio of the means"
    assert float(row["fd_efficientnet_lite0_measured"]) == 500 and row["method"] == "BRIGHT"
    text = to_markdown(table)
    assert "FD (EfficientNet-Lite0) / rFD (EfficientNet-Lite0) ↓" in text and "3.00 ± 1.41" in text
    row = row_named(built("latent_diffusion", *distances("main", 400, 200, "2")), "main")
    assert float(row["fd_efficientnet_lite0_measured"]) == 400 and row[RATIO] == ""


HISTORY = "step,images,seconds,l2\n1,16,0.5,1.0\n2000,32000,431.25,0.1\n"


def test_equal_budget_has_quality_counts_speed_and_time_which_is_averaged_over_seeds(built: Built) -> None:
    counted = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)
    histories = training("main", HISTORY), training("main#1", HISTORY.replace("431.25", "431.75"))
    seeds = reconstruction("main"), reconstruction("main#1")
    speed = decoding("main", 123.4)
    table = built("equal_budget", *seeds, counted, speed, *histories, training_seeds=[0, 1])
    row = row_named(table, "main")
    assert float(row["decoded_per_second_measured"]) == 123.4
    assert float(row["decoded_per_second_measured_low"]) == pytest.approx(0.9 * 123.4)
    assert float(row["training_seconds_measured"]) == 431.5
    assert float(row["encoder_params_millions_measured"]) == 3.0
    assert "decoding timed side by side" in row["protocol"]
    text = to_markdown(table)
    assert row["bits_per_image_measured"] == "1534.6" and "Bits per image: an upper bound" in text
    assert "123.4 [111.1, 135.7]" in text and "slowest, fastest round" in text and "Changed" not in text


def test_a_row_says_which_keys_differ_from_the_first_row_of_its_method_or_has_a_label(built: Built) -> None:
    rows = [{"name": "main"}, {"name": "slow", "variant": "training.learning_rate 0.001"}]
    changed = to_markdown(built("equal_budget", reconstruction("main"), reconstruction("slow"), rows=rows))
    assert "| training.learning_rate 0.001 |" in changed and "\n- Changed: " in changed
    rows[1]["variant_label"] = "low rate"
    labelled = to_markdown(built("equal_budget", reconstruction("main"), reconstruction("slow"), rows=rows))
    assert "| BRIGHT (low rate)" in labelled and "Changed" not in labelled
    assert "- low rate: training.learning_rate 0.001.\n" in labelled


def test_what_all_rows_of_a_table_lack_is_in_no_method(built: Built) -> None:
    """Where the paper has rows, or another row has an adversarial loss, it tells them apart."""
    plain, other = (reconstruction(name, adversarial="none") for name in ("main", "other"))
    with_loss = reconstruction("own")

    def methods(table: str, *summaries: dict[str, Any]) -> list[str]:
        return [row["method"] for row in csv_rows(built(table, *summaries)) if row["source"] == "measured"]

    assert methods("equal_budget", plain, other) == ["BRIGHT", "BRIGHT"]
    assert methods("equal_budget", plain, with_loss) == ["BRIGHT (without adversarial loss)", "BRIGHT"]
    assert methods("table2", plain) == ["BRIGHT (without adversarial loss)"]


def test_table_3_has_the_speeds_that_were_measured(built: Built) -> None:
    counted = complexity("main", "ffhq256", "16x16x8")
    speed, slow = (decoding("main", rate, "ffhq256", **counted["traits"]) for rate in (3.25, 0.2))
    row = row_named(built("table3", counted, speed, rows=[{"name": "main"}]), "main")
    assert row["source"] == COUNTED and row["decoder_params_millions_published"] == "9.9"
    assert float(row["decoded_per_second_measured"]) == 3.25
    assert "Decoded images/s" not in to_markdown(built("table3", counted))
    text = to_markdown(built("table3", counted, slow))
    assert "0.200 [0.180, 0.220]" in text, "less than one a second keeps its digits, and so do the ends"


@pytest.mark.parametrize("text", ["", "step,images\n1,2\n", "step,seconds\n"])
def test_a_history_without_seconds_gets_one_line(built: Built, text: str) -> None:
    with pytest.raises(InputError, match="a training's csv"):
        built("equal_budget", training("main", text))
