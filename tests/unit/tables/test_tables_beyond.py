"""The tables beyond the paper's: codes (section 3.4), noise and generation, sizes of tables, equal budget."""

from pathlib import Path
from typing import Any

import pytest
from made_summaries import (
    PUBLISHED_FOLDER,
    Built,
    codes,
    complexity,
    csv_rows,
    decoding,
    generation,
    reconstruction,
    reconstruction_distance,
    row_named,
    write_summary,
)

from pipeline.base.errors import InputError
from pipeline.stages.tables import TableJob
from pipeline.tables.build import COUNTED, MEASURED, BuiltTable, build_table
from pipeline.tables.measured import NamedSummary
from pipeline.tables.render import to_markdown


@pytest.fixture
def made(tmp_path: Path) -> Built:
    """A table from summaries of these rows; a string is the text of a training's history."""

    def build(table: str, rows: list[Any], *summaries: tuple[str, dict[str, Any] | str], **job: Any) -> BuiltTable:
        named = []
        for index, (row, summary) in enumerate(summaries):
            path = tmp_path / f"{index}.{'csv' if isinstance(summary, str) else 'json'}"
            path.write_text(summary) if isinstance(summary, str) else write_summary(path, summary)
            named.append(NamedSummary(row, path))
        told = {"dataset": job.pop("dataset", "fashion_mnist"), "resolution": job.pop("resolution", 32)}
        named_rows = [row if isinstance(row, dict) else {"name": row} for row in rows]
        settings = {"table": table, "rows": [row | told for row in named_rows], **job}
        return build_table(TableJob.model_validate(settings), named, PUBLISHED_FOLDER)

    return build


def without_key_codes(name: str, **numbers: float | None) -> dict[str, Any]:
    """The codes of a made-up model of another family."""
    traits = dict.fromkeys(("key_length", "feature_size", "code_noise", "table_entries"))
    numbers = {"psnr_fall": None, "lpips_rise": None, "tolerated_half_cells": None} | numbers
    return codes(name, numbers, method=name, code_size="8x8", **traits)


def test_section34_has_each_familys_own_numbers(built: Built) -> None:
    kl = without_key_codes("kl", **dict.fromkeys(("entries", "used_share", "perplexity", "evenness")))
    table = built("section34", codes("main"), without_key_codes("vqgan"), kl)
    main, other, without = (row_named(table, name) for name in ("main", "vqgan", "kl"))
    assert {row["source"] for row in csv_rows(table)} == {MEASURED}
    assert float(main["used_share_measured"]) == pytest.approx(68.125)
    assert float(main["tolerated_half_cells_measured"]) == 2.1 and other["tolerated_half_cells_measured"] == ""
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


def ablated(name: str, words: str | None, psnr: float, sampled: bool) -> list[tuple[str, Any]]:
    """Summaries of a row of the table of ablations, of three seeds."""
    found: list[tuple[str, Any]] = []
    for seed, called in enumerate((name, f"{name}#1", f"{name}#2")):
        found.append((called, reconstruction(name, numbers={"psnr": psnr + seed}, ablation=words)))
        found.append((called, reconstruction_distance(name, "efficientnet_lite0")))
        if sampled:
            found.append((called, generation("s", "efficientnet_lite0", code_size="8x8x4")))
    return found


def test_ablations_have_reconstructions_and_samples_of_one_model_in_a_row(made: Built) -> None:
    rows = [{"name": "base", "variant": "(the first row)"}, {"name": "bare", "variant": "features mlp"}]
    summaries = [*ablated("base", None, 24.0, sampled=True), *ablated("bare", "no tables", 25.0, sampled=False)]
    table = made("ablations", rows, *summaries, training_seeds=[0, 1, 2])
    base, bare = row_named(table, "base"), row_named(table, "bare")
    assert (base["method"], bare["method"]) == ("BRIGHT", "BRIGHT (no tables)"), "and not who made the samples"
    assert (base["variant"], bare["variant"]) == ("(the first row)", "features mlp")
    assert (float(base["psnr_measured"]), base["psnr_measured_seed_std"]) == (25.0, "1.0")
    assert float(base["fd_efficientnet_lite0_measured"]) == 538.987 and bare["fd_efficientnet_lite0_measured"] == ""
    assert float(bare["rfd_efficientnet_lite0_measured"]) == 87.654
    text = to_markdown(table)
    assert "FD (EfficientNet-Lite0) of samples" in text and "| features mlp " in text and "26.00 ± 1.00" in text
    assert "FID of samples" not in text, "no Inception in these summaries"


def sampled(name: str, of_samples: float, of_reconstructions: float, reference: str = "1") -> list[tuple[str, Any]]:
    """Summaries of samples and of reconstructions, the latter against the reference named."""
    made = (("1", generation, of_samples), (reference, reconstruction_distance, of_reconstructions))
    return [
        (
            name,
            summary(
                name.partition("#")[0],
                "efficientnet_lite0",
                numbers={"frechet_distance": distance},
                protocol={"reference": "validation", "reference_count": 9, "reference_sha256": 64 * digit},
                code_size="8x8x4",
            ),
        )
        for digit, summary, distance in made
    ]


RATIO = "fd_efficientnet_lite0_over_rfd_efficientnet_lite0_measured"


def test_a_distance_of_samples_stands_over_that_of_reconstructions_from_the_same_images(made: Built) -> None:
    seeds = [*sampled("main", 400, 200), *sampled("main#1", 600, 150)]
    table = made("latent_diffusion", [{"name": "main"}], *seeds, training_seeds=[0, 1])
    row = row_named(table, "main")
    assert float(row[RATIO]) == (2 + 4) / 2, "the mean of the ratios, not the ratio of the means"
    assert float(row["fd_efficientnet_lite0_measured"]) == 500 and row["method"] == "BRIGHT"
    text = to_markdown(table)
    assert "FD (EfficientNet-Lite0) / rFD (EfficientNet-Lite0) ↓" in text and "3.00 ± 1.41" in text
    row = row_named(made("latent_diffusion", [{"name": "main"}], *sampled("main", 400, 200, "2")), "main")
    assert float(row["fd_efficientnet_lite0_measured"]) == 400 and row[RATIO] == ""


HISTORY = "step,images,seconds,l2\n1,16,0.5,1.0\n2000,32000,431.25,0.1\n"


def test_equal_budget_has_quality_counts_speed_and_time(made: Built) -> None:
    counted = complexity("main", "fashion_mnist", "8x8x4", feature_size=16)
    table = made(
        "equal_budget",
        ["main"],
        ("main", reconstruction("main")),
        ("main", counted),
        ("main", decoding(main=123.4, other=50.0)),
        ("main", HISTORY),
    )
    row = row_named(table, "main")
    assert float(row["decoded_per_second_measured"]) == 123.4
    assert float(row["decoded_per_second_measured_low"]) == pytest.approx(0.9 * 123.4)
    assert float(row["training_seconds_measured"]) == 431.25
    assert float(row["encoder_params_millions_measured"]) == 3.0
    assert "decoding timed side by side" in row["protocol"]
    text = to_markdown(table)
    assert row["bits_per_image_measured"] == "1534.6" and "Bits per image: at most so many bits" in text
    assert "123.4 [111.1, 135.7]" in text and "slowest, fastest round" in text and "a CPU" in text


def test_rows_with_one_name_have_a_column_of_what_changed(made: Built) -> None:
    summaries = [("main", reconstruction("main")), ("slow", reconstruction("slow"))]
    other = {"name": "slow", "variant": "training.learning_rate 0.001"}
    told = to_markdown(made("equal_budget", ["main", other], *summaries))
    assert "| Changed " in told and "| training.learning_rate 0.001 |" in told
    assert "- Changed: by the keys of the config, what a row has otherwise than the first of its name.\n" in told
    assert "Changed" not in to_markdown(made("equal_budget", ["main", "slow"], *summaries))


def test_times_of_several_seeds_are_averaged_and_the_speed_is_not(made: Built) -> None:
    table = made(
        "equal_budget",
        ["main"],
        ("main", HISTORY),
        ("main#1", HISTORY.replace("431.25", "431.75")),
        ("main", reconstruction("main")),
        ("main#1", reconstruction("main")),
        ("main", decoding(main=100.0)),
        training_seeds=[0, 1],
    )
    row = row_named(table, "main")
    assert float(row["training_seconds_measured"]) == 431.5
    assert (row["decoded_per_second_measured"], row["decoded_per_second_measured_low"]) == ("100.0", "90.0")


def test_table_3_has_the_speeds_that_were_measured(made: Built) -> None:
    counted = complexity("main", "ffhq256", "16x16x8")
    summary = decoding(main=3.25)
    summary["models"]["main"]["traits"] = counted["traits"]
    paper = {"dataset": "ffhq256", "resolution": 256}
    row = row_named(made("table3", ["main"], ("main", counted), ("main", summary), **paper), "main")
    assert row["source"] == COUNTED and row["decoder_params_millions_published"] == "9.9"
    assert float(row["decoded_per_second_measured"]) == 3.25
    assert "Decoded images/s" not in to_markdown(made("table3", ["main"], ("main", counted), **paper))
    (value,) = summary["models"]["main"]["values"].values()
    value |= {"number": 0.2, "interval": [0.18, 0.22]}
    slow = to_markdown(made("table3", ["main"], ("main", counted), ("main", summary), **paper))
    assert "0.200 [0.180, 0.220]" in slow, "less than one a second keeps its digits, and so do the ends"


def test_a_row_that_was_not_timed_gets_one_line(made: Built) -> None:
    with pytest.raises(InputError, match="'main' is none of the models measured \\(other\\)"):
        made("equal_budget", ["main"], ("main", decoding(other=1.0)))


@pytest.mark.parametrize("text", ["", "step,images\n1,2\n", "step,seconds\n"])
def test_a_history_without_seconds_gets_one_line(made: Built, text: str) -> None:
    with pytest.raises(InputError, match="a training's csv"):
        made("equal_budget", ["main"], ("main", text))


def test_generation_with_and_without_noise_says_which_is_which(built: Built) -> None:
    rows = [
        {"name": "main", "label": "BRIGHT (LDM, with noise)"},
        {"name": "quiet", "label": "BRIGHT (LDM, without noise)"},
    ]
    table = built(
        "noise_generation",
        generation("main", "efficientnet_lite0"),
        generation("quiet", "efficientnet_lite0"),
        rows=rows,
    )
    assert row_named(table, "quiet")["method"] == "BRIGHT (LDM, without noise)"
    assert "FD (EfficientNet-Lite0)" in to_markdown(table) and "FID ↓" not in to_markdown(table)
