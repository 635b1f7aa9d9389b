"""The tables beyond the paper's: codes (section 3.4), noise and generation, sizes of tables, equal budget."""

from typing import Any

import pytest
from made_summaries import (
    NO_KEYS,
    Built,
    codes,
    complexity,
    csv_rows,
    decoding,
    generation,
    reconstruction,
    reconstruction_distance,
    row_named,
    training,
)

from pipeline.base.errors import InputError
from pipeline.tables.build import COUNTED, MEASURED
from pipeline.tables.render import to_markdown


def test_section34_has_each_familys_own_numbers(built: Built) -> None:
    absent = dict.fromkeys(("psnr_fall", "lpips_rise", "tolerated_half_cells"))
    other = NO_KEYS | {"table_entries": None, "code_size": "8x8"}
    vqgan = codes("vqgan", absent, method="VQGAN", **other)
    absent |= dict.fromkeys(("entries", "used_share", "perplexity", "evenness"))
    table = built("section34", codes("main"), vqgan, codes("kl", absent, method="KL", **other))
    main, indices, without = (row_named(table, name) for name in ("main", "vqgan", "kl"))
    assert {row["source"] for row in csv_rows(table)} == {MEASURED}
    assert float(main["used_share_measured"]) == pytest.approx(68.125)
    assert float(main["tolerated_half_cells_measured"]) == 2.1 and indices["tolerated_half_cells_measured"] == ""
    assert without["perplexity_measured"] == "" and float(without["code_variance_measured"]) == 0.021
    text = to_markdown(table)
    assert "68.1" in text and "Entries in use" in text and "published" not in text
    assert "missing" not in text, "what a family has none of does not apply"


def test_bytes_of_tables_decoder_and_codes_stand_beside_quality(built: Built) -> None:
    small = codes("small", {"table_megabytes": 0.08192, "kept_megabytes": 11.79792}, table_entries="2^10")
    table = built("table_sizes", codes("large"), small, reconstruction("large"), reconstruction("small"))
    row = row_named(table, "small")
    assert row["table_entries"] == "2^10" and row_named(table, "large")["table_entries"] == "2^18"
    assert float(row["table_megabytes_measured"]) == 0.08192
    assert float(row["code_bytes_measured"]) == 1024
    assert float(row["kept_megabytes_measured"]) == 11.79792
    assert float(row["psnr_measured"]) == 23.8123456
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
    assert (base["variant"], bare["variant"]) == ("(the first row)", "features mlp")
    assert (float(base["psnr_measured"]), base["psnr_measured_seed_std"]) == (25.0, "1.0")
    assert float(base["fd_efficientnet_lite0_measured"]) == 538.987 and bare["fd_efficientnet_lite0_measured"] == ""
    assert float(bare["rfd_efficientnet_lite0_measured"]) == 87.654
    text = to_markdown(table)
    assert "FD (EfficientNet-Lite0) of samples" in text and "26.00 ± 1.00" in text
    assert "| features mlp " in text
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


def test_equal_budget_has_quality_counts_speed_and_time(built: Built) -> None:
    counted = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)
    table = built("equal_budget", reconstruction("main"), counted, decoding("main", 123.4), training("main", HISTORY))
    row = row_named(table, "main")
    assert float(row["decoded_per_second_measured"]) == 123.4
    assert float(row["decoded_per_second_measured_low"]) == pytest.approx(0.9 * 123.4)
    assert float(row["training_seconds_measured"]) == 431.25
    assert float(row["encoder_params_millions_measured"]) == 3.0
    assert "decoding timed side by side" in row["protocol"]
    text = to_markdown(table)
    assert row["bits_per_image_measured"] == "1534.6" and "Bits per image: at most so many bits" in text
    assert "123.4 [111.1, 135.7]" in text and "slowest, fastest round" in text and "a CPU" in text
    rows = [{"name": "main"}, {"name": "slow", "variant": "training.learning_rate 0.001"}]
    changed = to_markdown(built("equal_budget", reconstruction("main"), reconstruction("slow"), rows=rows))
    assert "Changed" not in text and "| training.learning_rate 0.001 |" in changed
    assert "- Changed: by the keys of the config, what a row has otherwise than the first of its name.\n" in changed


def test_times_of_several_seeds_are_averaged_and_the_speed_is_not(built: Built) -> None:
    histories = training("main", HISTORY), training("main#1", HISTORY.replace("431.25", "431.75"))
    seeds = reconstruction("main"), reconstruction("main#1")
    table = built("equal_budget", *seeds, *histories, decoding("main", 100.0), training_seeds=[0, 1])
    row = row_named(table, "main")
    assert float(row["training_seconds_measured"]) == 431.5
    assert (row["decoded_per_second_measured"], row["decoded_per_second_measured_low"]) == ("100.0", "90.0")


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
