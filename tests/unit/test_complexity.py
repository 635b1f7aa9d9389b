"""Counts of parameters and multiply-accumulates (Tables 3, 7 and 8)."""

import json

import pytest

from pipeline.base.errors import InputError
from pipeline.base.summary import read_summary
from pipeline.complexity import TABLES, complexity, published_comparison, published_row
from pipeline.config.root import read_config
from pipeline.models.complexity import counts, hash_table_parameters
from pipeline.models.traits import architecture_traits
from pipeline.settings.autoencoder import Autoencoder
from pipeline.stages.autoencoders import PAPER


def architecture(code_size, **changes):
    return Autoencoder(dataset="paper", code_size=code_size, **changes)


LONG_KEYS = architecture("64x64x4", tables={"key_length": 2, "coarsest_resolution": 16})
FROM_32 = architecture(
    "32x32x8", feature_size=32, feature_channels=1024, tables={"finest_resolution": 32}
)  # fmt: skip


@pytest.mark.parametrize(("settings", "ngp", "tcnn"), [
    (architecture("64x64x4"), 10.608, 10.138),
    (architecture("16x16x8"), 21.215, 20.276),
    (architecture("16x16x16"), 42.431, 40.553),
    (FROM_32, 3.668, 3.227),
    (LONG_KEYS, 30.530, 29.684),
])  # fmt: skip
def test_hash_tables_have_the_counts_of_both_conventions(settings, ngp, tcnn):
    assert round(hash_table_parameters(settings, "ngp") / 1e6, 3) == ngp
    assert round(hash_table_parameters(settings, "tcnn") / 1e6, 3) == tcnn


@pytest.mark.parametrize(("settings", "published", "rule"), [
    (architecture("64x64x4"), 63.40, 63.3976),
    (architecture("16x16x8"), 63.54, 63.5321),
    (architecture("16x16x16"), 63.80, 63.8011),
    (LONG_KEYS, 63.40, 63.3976),
    (FROM_32, 85.14, 85.1353),
])  # fmt: skip
def test_the_papers_rule_gives_the_papers_gflops(settings, published, rule):
    found = counts(settings, 256, 3)["gmacs"]["paper_rule"]
    assert round(found, 4) == rule
    assert abs(found - published) < 0.011


@pytest.mark.parametrize("code_size", ["64x64x4", "32x32x4", "16x16x8", "16x16x16"])
def test_the_decoder_is_within_3_percent_of_9_9_million(code_size):
    found = counts(architecture(code_size), 256, 3)["decoder_params"]
    assert abs(found / 9.9e6 - 1) < 0.03


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


def test_retrieval_is_counted_per_key_and_corner():
    parts = counts(architecture("64x64x4"), 256, 3)["true_gmacs"]
    assert abs(parts["retrieval"] * 1e9 - 64**2 * 4 * 2 * 2 * 4) < 1


def test_every_architecture_stands_beside_its_published_row():
    """The rows of these tables in config/paper.yaml are the ones that the paper prints."""
    paper = read_config(PAPER)
    rows = [(table, paper.autoencoders[name]) for table in TABLES for name in getattr(paper.tables_or_default, table)]
    ours = [(table, model) for table, model in rows if isinstance(model, Autoencoder)]
    assert all(published_row(table, architecture_traits(model)) for table, model in ours)
    told = [line.split()[:4] for line in published_comparison().splitlines()[2:]]
    assert told == [
        [table, str(model.code_size), str(model.tables.key_length), str(model.feature_size)] for table, model in ours
    ]
    assert sorted(told) == sorted(line.split() for line in ARCHITECTURES)


ARCHITECTURES = (
    "table3 16x16x8 1 64",
    "table3 16x16x16 1 64",
    "table3 32x32x4 1 64",
    "table3 64x64x4 1 64",
    "table7 64x64x4 1 64",
    "table7 64x64x4 2 64",
    "table8 32x32x8 1 64",
    "table8 32x32x8 1 32",
)


def test_the_comparison_has_published_and_counted_numbers():
    text = published_comparison()
    for number in ("(11.4)", "(42.9)", "(85.14)", "(35.1)", "63.3976", "30.530"):
        assert number in text
    last = text.splitlines()[-1]
    assert all(number in last for number in ("3.668", "3.227", "(3.7)", "85.1353", "(85.14)"))


def counted_as(**changes):
    """A small model as the stage is told one of a table's."""
    autoencoder = {"dataset": "d", "code_size": "8x8x4", "feature_size": 16, "feature_channels": 64} | changes
    return {"autoencoder": autoencoder, "resolution": 32, "channels": 1}


def test_one_file_has_the_counts_of_each_model(tmp_path):
    models = {"small": counted_as(), "wide": counted_as(feature_channels=128)}
    complexity(json.dumps({"models": models}), output=tmp_path / "complexity.json")
    found = {name: read_summary(tmp_path / "complexity.json", name) for name in models}
    for name, told in models.items():
        expected = counts(Autoencoder.model_validate(told["autoencoder"]), 32, 1)
        traits = {"method": "BRIGHT", "code_size": "8x8x4", "key_length": 1, "feature_size": 16, "resolution": 32}
        assert (found[name].kind, found[name].traits) == ("complexity", traits)
        assert found[name].values["decoder_params"].number == expected["decoder_params"] / 1e6
        assert found[name].values["hash_tables.ngp"].number == expected["hash_table_params"]["ngp"] / 1e6
        assert found[name].values["gmacs.true"].number == expected["gmacs"]["true"]
    assert found["small"].values["decoder_params"] != found["wide"].values["decoder_params"]
    with pytest.raises(InputError, match="'large' is none of the models measured \\(small, wide\\)"):
        read_summary(tmp_path / "complexity.json", "large")


def test_a_model_that_cannot_be_counted_is_named(tmp_path):
    wrong = counted_as(feature_size=64)
    models = {"a": counted_as(), "b": wrong | {"entry": "autoencoders.wrong"}}
    with pytest.raises(InputError, match=r"^autoencoders\.wrong: feature_size"):
        complexity(json.dumps({"models": models}), output=tmp_path / "complexity.json")
    with pytest.raises(InputError, match=r"^b: feature_size"):
        complexity(json.dumps({"models": {"a": counted_as(), "b": wrong}}), output=tmp_path / "complexity.json")
    assert not (tmp_path / "complexity.json").exists()


def test_settings_without_a_place_for_the_counts_get_one_line():
    with pytest.raises(InputError, match="--output"):
        complexity(json.dumps({"models": {"a": counted_as()}}))
