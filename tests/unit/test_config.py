"""The typed config: refused configs and their messages, inherited keys, keys that are part of digests."""

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.errors import InputError
from pipeline.config.root import load_config, read_config
from pipeline.models.bright import groups
from pipeline.settings.autoencoder import Autoencoder

REPOSITORY = Path(__file__).parents[2]

MINIMAL: dict[str, Any] = {
    "run": "mine",
    "datasets": {
        "photos": {
            "source": {"kind": "folder", "path": "photos"},
            "resolution": 64,
            "split": {"rule": "last", "validation": 10},
        }
    },
    "autoencoders": {"main": {"dataset": "photos", "code_size": "16x16x4", "feature_size": 32}},
    "diffusions": {"main": {"autoencoder": "main"}},
    "samples": {"main": {"kind": "diffusion", "diffusion": "main", "count": 100}},
}


def changed(key: str, value: object) -> dict[str, Any]:
    """The minimal config with one key set."""
    config = copy.deepcopy(MINIMAL)
    *sections, name = key.split(".")
    section: dict[str, Any] = config
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = value
    return config


def complaint(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        load_config(config, "mine.yaml")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("mine.yaml: ")
    return text.removeprefix("mine.yaml: ")


# Key, wrong value, and part of the message; a part that begins with a colon follows the key.
WRONG = [
    ("runn", "mine", ": no such key; did you mean run?"),
    ("autoencoders.main.tables.resolution", 3, ": no such key; did you mean"),
    ("autoencoders.main.colour", 3, ": no such key; the keys are code_noise, "),
    ("datasets.photos.source.pth", "x", "datasets.photos.source.folder.pth: no such key; did you mean path?"),
    ("samples.main.sampler.stepps", 2, "sampler.stepps: no such key; did you mean steps?"),
    ("autoencoders.main.tables.resolutions", 1, ": a single resolution needs coarsest"),
    ("autoencoders.main.training.batch", "many", ": Input should be a valid integer"),
    ("autoencoders.main.training.batch", 0, ": Input should be greater than or equal"),
    ("autoencoders.main.code_size", "16x16", ": must be HEIGHTxWIDTHxCHANNELS"),
    ("autoencoders.main.code_size", "16x8x4", ": must be square with sides that are"),
    ("autoencoders.main.feature_size", 8, ": H_d must be at least H_z = 16 (code_size), not 8"),
    ("autoencoders.main.feature_size", 48, ": must be a power of two, such as 64, not 48"),
    ("autoencoders.main.feature_size", 128, ": must be at most the dataset's resolution 64"),
    (
        "autoencoders.main.tables.key_length",
        3,
        "autoencoders.main.code_size: C_z must be divisible by tables.key_length = 3",
    ),
    ("autoencoders.main.feature_channels", 510, ": must be divisible by the number of group"),
    ("autoencoders.main.encoder.multipliers", [1], ": must have 3 numbers"),
    ("autoencoders.main.decoder.channels", [8, 8], ": the first must be feature_channels"),
    ("autoencoders.main.tables.finest_resolution", 2, ": must be at least coarsest"),
    ("autoencoders.main.dataset", "x", ": 'x' is not under `datasets`, which has photos"),
    ("datasets.photos.resolution", 48, ": must be a power of two, such as 256, not 48"),
    ("datasets.photos.split.validation", 0, ": the rule last needs a number of"),
    ("datasets.photos.split.rule", "source", ": source needs a source with its own split"),
    ("datasets.photos.source.kind", "tar", "datasets.photos.source: Input tag 'tar'"),
    ("diffusions.main.autoencoder", "x", ": 'x' is not under `autoencoders`"),
    ("diffusions.main.unet.multipliers", [1, 1, 1, 1, 1, 1], ": 6 levels halve a code of size 16"),
    ("diffusions.main.unet.channels", 100, ": 100 (channels x multiplier 1) must be"),
    ("samples.main.diffusion", "x", ": 'x' is not under `diffusions`"),
    ("tables.table2", ["x"], ": 'x' is not under `autoencoders`, which has main"),
    ("tables.table5", {"rows": ["x"]}, "tables.table5.rows: 'x' is not under `samples`"),
    (
        "tables.table5",
        {"rows": ["main"], "count": 101},
        "tables.table5.count: must be at most samples.main.count = 100",
    ),
    ("figures.rate_quality", ["x"], ": 'x' is not under `autoencoders`, which has main"),
    ("figures.samples", "x", ": 'x' is not under `samples`"),
    (
        "autoencoders.other",
        {"like": "x"},
        "autoencoders.other.like: must be the name of another entry of `autoencoders`",
    ),
    (
        "autoencoders.other",
        {"like": "other"},
        "autoencoders.other.like: must be the name of another entry of `autoencoders`",
    ),
    ("tables.section34", {"like": []}, ": Input should be a valid list"),
]


@pytest.mark.parametrize(("key", "value", "line"), WRONG, ids=[f"{key}={value}" for key, value, _ in WRONG])
def test_a_wrong_key_is_one_line_with_the_remedy(key: str, value: object, line: str) -> None:
    assert (f"{key}{line}" if line.startswith(":") else line) in complaint(changed(key, value))


def test_a_model_without_hash_tables_is_no_row_of_table_sizes() -> None:
    config = changed("autoencoders.main.features", "mlp")
    message = "tables.table_sizes: its rows must have hash tables, and main has none; leave it out"
    assert complaint(config | {"tables": {"table_sizes": ["main"]}}) == message


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ({"autoencoders": ["x"]}, "tables.ablations.autoencoders: 'x' is not under `autoencoders`, which has main"),
        ({"samples": ["x"]}, "tables.ablations.samples: 'x' is not under `samples`, which has main, gaussian, real"),
        (
            {"samples": ["main"]},
            "tables.ablations.samples: main is made from codes of main, which is not in tables.ablations.autoencoders",
        ),
        ({"autoencoders": ["main"], "samples": ["real"]}, "tables.ablations.samples: real is made from no codes"),
        ({"autoencoders": ["main"], "samples": ["main", "gaussian"]}, "main and gaussian are both made from codes of"),
        (
            {"autoencoders": ["main"], "samples": ["main"], "count": 101},
            "tables.ablations.count: must be at most samples.main",
        ),
    ],
)
def test_rows_of_ablations_that_do_not_belong_together_are_refused(rows: dict[str, Any], line: str) -> None:
    config = changed("tables.ablations", rows)
    config["samples"]["gaussian"] = {"kind": "gaussian_codes", "autoencoder": "main", "count": 100}
    config["samples"]["real"] = {"kind": "real", "dataset": "photos", "count": 100}
    assert line in complaint(config)


def test_a_missing_key_is_named() -> None:
    config = copy.deepcopy(MINIMAL)
    del config["autoencoders"]["main"]["code_size"]
    assert complaint(config) == "autoencoders.main.code_size: this key is missing"


def test_an_inherited_problem_is_reported_once() -> None:
    config = changed("autoencoders.main.feature_size", 8)
    config["autoencoders"]["second"] = {"like": "main", "code_noise": "none"}
    config["autoencoders"]["third"] = {"like": "second", "seed": 1}
    assert complaint(config) == "autoencoders.main.feature_size: H_d must be at least H_z = 16 (code_size), not 8"


def test_like_inherits_all_keys_and_leaves_the_given_values_alone() -> None:
    config = changed("autoencoders.main.training", {"batch": 4, "images": 400})
    config["autoencoders"]["second"] = {"like": "main", "training": {"batch": 8}}
    config["autoencoders"]["third"] = {"like": "second", "seed": 1}
    loaded = load_config(config)
    third = loaded.autoencoders["third"]
    assert (third.training.batch, third.training.images, third.seed) == (8, 400, 1)
    assert loaded.autoencoders["main"].training.batch == 4
    config = changed("autoencoders.second", {"like": "main"})
    before = copy.deepcopy(config)
    load_config(config)
    assert config == before


def test_without_tables_all_models_and_samples_have_rows() -> None:
    tables = load_config(MINIMAL).tables_or_default
    assert (tables.table2, tables.table3, tables.table5.rows) == (["main"], ["main"], ["main"])


def test_the_demo_with_all_families_reuses_the_results_of_the_demo() -> None:
    """Entries that both configs have are the same, and every entry of the demo is among those of demo-all."""
    demo, every = (read_config(REPOSITORY / "config" / f"{name}.yaml") for name in ("demo", "demo-all"))
    for section in ("datasets", "autoencoders", "diffusions", "samples"):
        ours, theirs = getattr(demo, section), getattr(every, section)
        assert {name: theirs.get(name) for name in ours} == ours
    assert every.evaluation == demo.evaluation


def test_the_paper_config_trains_with_the_papers_settings() -> None:
    model = read_config(REPOSITORY / "config" / "paper.yaml").autoencoders["ffhq-64x64x4"]
    assert model.training.learning_rate == 2e-3
    assert (model.training.epsilon, model.training.discriminator_epsilon) == (1e-15, 1e-8)
    assert (model.losses.l2_weight, model.losses.perceptual_weight) == (20, 5)
    assert model.losses.adversarial.kind == "wgan_gp"
    assert (model.losses.adversarial.weight, model.losses.adversarial.penalty_weight) == (1, 4)
    assert model.losses.adversarial.start_images == 0, "from the first step"


def test_operational_keys_are_not_numerical() -> None:
    model = load_config(changed("autoencoders.main.execution", {"gpus": 4, "save_every_s": 1.0})).autoencoders["main"]
    assert model.numerical()["execution"] == {"precision": "fp32", "cpu_threads": 1}
    assert "license" not in load_config(MINIMAL).datasets["photos"].numerical()


@given(size=st.sampled_from([1, 2, 4, 8, 16, 32]), channels=st.integers(1, 24), length=st.integers(1, 4))
def test_a_code_has_whole_groups_or_is_refused(size: int, channels: int, length: int) -> None:
    values: dict[str, Any] = {"dataset": "x", "code_size": f"{size}x{size}x{channels}"}
    values["tables"] = {"key_length": length}
    values["feature_channels"] = math.lcm(*range(1, 25))
    if channels % length:
        with pytest.raises(ValueError, match="divisible"):
            Autoencoder.model_validate(values)
    else:
        model = Autoencoder.model_validate(values)
        assert groups(model) * length == channels


@pytest.mark.parametrize("document", [changed("seed", 3), changed("autoencoders.main.seed", 1)])
def test_yaml_and_back_is_the_same_config(document: dict[str, Any]) -> None:
    assert load_config(yaml.safe_load(yaml.safe_dump(document))) == load_config(document)
