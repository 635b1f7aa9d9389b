"""Counts of parameters and multiply-accumulates (Tables 3, 7 and 8)."""

import csv
import json
import re
from collections import Counter

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import PUBLISHED
from bright_pipeline.complexity import complexity
from bright_pipeline.config.root import read_config
from bright_pipeline.evaluation.summary import read_summary
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models.complexity import counts
from bright_pipeline.models.traits import architecture_traits
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.stages.measurements import PAPER
from documented import README, ROOT


def architecture(code_size, **changes):
    return Autoencoder(dataset="paper", code_size=code_size, **changes)


LONG_KEYS = architecture("64x64x4", tables={"key_length": 2, "coarsest_resolution": 16})
FROM_32 = architecture("32x32x8", feature_size=32, feature_channels=1024, tables={"finest_resolution": 32})
UNLIKE = {"11.4", "42.9", "63.54"}  # contradict other numbers of the paper


@pytest.mark.parametrize(("settings", "ngp", "tcnn", "published", "rule"), [
    (architecture("64x64x4"), 10.608, 10.138, 63.40, 63.3976),
    (architecture("32x32x4"), 10.608, 10.138, 63.40, 63.3976),
    (architecture("16x16x8"), 21.215, 20.276, 63.54, 63.5321),
    (architecture("16x16x16"), 42.431, 40.553, 63.80, 63.8011),
    (LONG_KEYS, 30.530, 29.684, 63.40, 63.3976),
    (FROM_32, 3.668, 3.227, 85.14, 85.1353)
])  # fmt: skip
def test_counts_follow_both_conventions_and_the_papers_rule(settings, ngp, tcnn, published, rule):
    found = counts(settings, 256, 3)
    assert {name: round(count / 1e6, 3) for name, count in found["hash_table_params"].items()} == {
        "ngp": ngp,
        "tcnn": tcnn,
    }
    assert round(found["gmacs"]["paper_rule"], 4) == rule
    assert abs(rule - published) < 0.011
    assert settings is FROM_32 or abs(found["decoder_params"] / 9.9e6 - 1) < 0.03


def test_the_pages_state_how_many_published_counts_are_exact():
    paper, verdicts = read_config(PAPER), Counter()
    for table in ("table3", "table7", "table8"):
        with (PUBLISHED / f"{table}.csv").open(newline="") as file:
            published = list(csv.DictReader(file))
        for model in (paper.autoencoders[name] for name in getattr(paper.tables_or_default, table)):
            family = autoencoder_family(model.family)
            traits = {"method": family.method} | architecture_traits(model)
            row = next(row for row in published if all(row[key] == str(traits[key]) for key in row.keys() & traits))
            found = load(family.counts)(model, 256, 3)
            tables = found.get("hash_table_params", {"ngp": 0})["ngp"] / 1e6
            counted = (found["decoder_params"] / 1e6, tables, found["gmacs"]["paper_rule"])
            columns = ("decoder_params_millions", "hash_table_params_millions", "decoder_gflops")
            for printed, number in zip(map(row.get, columns), counted, strict=True):
                if printed:
                    exact, contradictory = f"{number:.{len(printed.partition('.')[2])}f}" == printed, printed in UNLIKE
                    assert exact != contradictory or (not exact and number == pytest.approx(float(printed), rel=0.03))
                    verdicts["exact" if exact else "contradictory" if contradictory else "close"] += 1
    said = "{exact} of {total} are **reproduced exactly** and {close} within 3%; {contradictory} contradict"
    assert said.format(total=verdicts.total(), **verdicts) in README


def test_the_true_count_is_that_of_the_convolutions_written_out():
    convolutions = sum(2 * 9 * c**2 * r**2 for r, c in ((64, 512), (128, 256), (256, 128)))
    up = 9 * 512 * 256 * 64**2 + 9 * 256 * 128 * 128**2
    to_image = sum(3 * c * r**2 for r, c in ((64, 512), (128, 256), (256, 128)))
    filters = 16 * (256 * 128**2 + 128 * 256**2)  # on the up-convolutions' outputs
    filters += 16 * 3 * (64**2 + 128**2)  # on the images, counted per input pixel
    styles = 512 * (512 * 3 + (512 + 2 * 256 + 256) + (256 + 2 * 128 + 128))  # affine layers
    demodulation = 512 * 512 * 2 + 512 * 256 + 256 * 256 * 2 + 256 * 128 + 128 * 128 * 2
    parts = counts(architecture("64x64x4"), 256, 3)["true_gmacs"]
    total = convolutions + up + to_image + filters + styles + demodulation
    assert abs(parts["synthesis"] * 1e9 - total) < 1
    assert abs(parts["group_mlps"] * 1e9 - 64**2 * 4 * (2 * 64**2 + 64 * 128)) < 1
    assert abs(parts["style_mlp"] * 1e9 - 2 * 512**2) < 1
    assert abs(parts["retrieval"] * 1e9 - 64**2 * 4 * 2 * 2 * 4) < 1  # keys and corners


def counted_as(**changes):
    """A small model, as in the settings of the stage."""
    autoencoder = {"dataset": "d", "code_size": "8x8x4", "feature_size": 16, "feature_channels": 64} | changes
    return {"autoencoder": autoencoder, "resolution": 32, "channels": 1}


def test_one_file_has_the_counts_of_each_model(tmp_path):
    models, output = {"small": counted_as(), "wide": counted_as(feature_channels=128)}, tmp_path / "complexity.json"
    for entry, named in (({"entry": "autoencoders.wrong"}, r"autoencoders\.wrong"), ({}, "b")):
        wrong = {"models": {"a": counted_as(), "b": counted_as(feature_size=64) | entry}}
        with pytest.raises(InputError, match=f"^{named}: feature_size"):
            complexity(json.dumps(wrong), output=output)
        assert not output.exists()
    complexity(json.dumps({"models": models}), output=output)
    found = {name: read_summary(output, name) for name in models}
    for name, given in models.items():
        expected = counts(Autoencoder.model_validate(given["autoencoder"]), 32, 1)
        traits = {"method": "BRIGHT", "code_size": "8x8x4", "key_length": 1, "feature_size": 16, "resolution": 32}
        assert (found[name].kind, found[name].traits) == ("complexity", traits)
        assert found[name].values["decoder_params"].number == expected["decoder_params"] / 1e6
        assert found[name].values["hash_tables.ngp"].number == expected["hash_table_params"]["ngp"] / 1e6
        assert found[name].values["gmacs.true"].number == expected["gmacs"]["true"]
    assert found["small"].values["decoder_params"] != found["wide"].values["decoder_params"]
    with pytest.raises(InputError, match="'large' is none of the models measured \\(small, wide\\)"):
        read_summary(output, "large")


def counts_of(family, code_size, **changes):
    """Counts of a model of another family at 256 x 256."""
    values = {"dataset": "paper", "family": family, "code_size": code_size, **changes}
    of = autoencoder_family(family)
    return load(of.counts)(of.settings.model_validate(values), 256, 3)


@pytest.mark.parametrize(("family", "code_size", "parameters", "operations"), [
    ("vqgan", "16x16x256", 42.4498, 126.7886),
    ("vqgan", "32x32x256", 13.5894, 119.7712),
    ("rqvae", "16x16x256", 42.4498, 126.7886)
])  # fmt: skip
def test_decoders_of_256_x_256_have_these_counts(family, code_size, parameters, operations):
    counted = counts_of(family, code_size)
    assert round(counted["decoder_params"] / 1e6, 4) == parameters
    assert round(counted["gmacs"]["paper_rule"], 4) == operations
    # Codebooks are counted once and searched at every depth.
    entries, depth = (2048, 4) if family == "rqvae" else (1024, 1)
    vectors = int(code_size.split("x")[0]) ** 2
    assert counted["codebook_params"] == entries * 256
    assert round(counted["true_gmacs"]["nearest_entry"] * 1e9) == depth * vectors * entries * 256


def test_the_page_on_the_authors_code_has_these_counts():
    page, config = ROOT / "docs" / "authors-code.md", read_config(ROOT / "config" / "authors.yaml")
    lines = page.read_text(encoding="utf-8").splitlines()
    rows = [line.split(" | ")[1:] for line in lines if re.match(r"\| (text|authors' code[^|]*) \| \d", line)]
    names = [
        f"{data}{who}-{size}"
        for data, size in (("ffhq", "16x16x8"), ("ffhq", "16x16x16"), ("church", "32x32x4"))
        for who in ("", "-authors")
    ]
    for name, row in zip(names, rows, strict=True):
        counted = counts(config.autoencoders[name], 256, 3)
        millions = (counted["hash_table_params"]["ngp"], counted["decoder_params"], counted["encoder_params"])
        expected = [f"{number / 1e6:.2f}" for number in millions] + [f"{counted['gmacs']['paper_rule']:.2f} |"]
        assert row == expected, name


def test_the_kl_autoencoder_is_stable_diffusions():
    """KL-f8 at 256 x 256 has 83.65M parameters, as diffusers' AutoencoderKL of Stable Diffusion 1 has."""
    counted = counts_of("kl", "32x32x4")
    assert counted["decoder_params"] + counted["encoder_params"] + 4 * 4 + 4 == 83_653_863
    assert counted["codebook_params"] == counted["true_gmacs"]["nearest_entry"] == 0


def test_the_true_count_has_every_matrix_product_and_nothing_else():
    """Of a decoder small enough to write out: one level of one convolution's width, attention in the middle."""
    network = {"channels": 32, "multipliers": [1], "blocks": 1, "attention_resolutions": []}
    counted = counts_of("vqgan", "256x256x4", network=network)["true_gmacs"]
    pixels = 256**2
    convolutions = 9 * pixels * (4 * 32 + 2 * 2 * 32**2 + 2 * 2 * 32**2 + 32 * 3)
    attention = pixels * 4 * 32**2 + 2 * pixels**2 * 32
    assert round(counted["decoder"] * 1e9) == convolutions + attention
    assert round(counted["post_quant_conv"] * 1e9) == pixels * 4 * 4
    assert round(counted["nearest_entry"] * 1e9) == pixels * 4 * 1024
