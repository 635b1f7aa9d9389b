"""The typed config: refused configs, inherited keys, keys that are part of digests; its reference and schema."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import load_config, read_config
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.figures import labels
from finished_plan import put, tiny_values
from snakemake.utils import update_config

CONFIG = Path(__file__).parents[2] / "config"

PHOTOS = {"source": {"kind": "folder", "path": "photos"}, "resolution": 64, "split": {"rule": "last", "validation": 10}}
MINIMAL: dict[str, Any] = {
    "run": "mine",
    "datasets": {"photos": PHOTOS},
    "autoencoders": {"main": {"dataset": "photos", "code_size": "16x16x4", "feature_size": 32}},
    "diffusions": {"main": {"autoencoder": "main"}},
    "samples": {"main": {"kind": "diffusion", "diffusion": "main", "count": 100}},
}


def changed(key: str, value: object) -> dict[str, Any]:
    """The minimal config with one key set."""
    put(config := copy.deepcopy(MINIMAL), key, value)
    return config


def complaint(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        load_config(config, "mine.yaml")
    text = str(caught.value)
    assert "\n" not in text
    assert text.startswith("mine.yaml: ")
    return text.removeprefix("mine.yaml: ")


REFUSED = yaml.safe_load(Path(__file__).with_name("refused.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("base", REFUSED)
def test_a_wrong_key_is_one_line_with_the_remedy(base: str) -> None:
    for keys, words in REFUSED[base]["refused"]:
        config = copy.deepcopy(MINIMAL) if base == "minimal" else tiny_values()
        for key, value in (REFUSED[base].get("with", {}) | keys).items():
            put(config, key, copy.deepcopy(value))
        line = complaint(config)
        assert all(word in line for word in ([words] if isinstance(words, str) else words)), (keys, line)


def test_a_path_that_no_file_system_has_is_one_line() -> None:
    config = copy.deepcopy(MINIMAL)
    put(config, "autoencoders.main.initial_weights", {"path": 5000 * "x"})
    assert "initial_weights.path: a path of at most 4,000 characters" in complaint(config)


def test_like_inherits_all_keys_and_a_problem_of_the_first_entry_is_reported_once() -> None:
    config = changed("autoencoders.main.training", {"batch": 4, "images": 400})
    config["autoencoders"]["second"] = {"like": "main", "training": {"batch": 8}}
    config["autoencoders"]["third"] = {"like": "second", "seed": 1}
    before = copy.deepcopy(config)
    loaded = load_config(config).autoencoders
    third = loaded["third"]
    assert (third.training.batch, third.training.images, third.seed) == (8, 400, 1)
    assert loaded["main"].training.batch == 4 and config == before
    config["autoencoders"]["main"]["feature_size"] = 8
    assert complaint(config) == "autoencoders.main.feature_size: H_d must be at least H_z = 16 (code_size), not 8"


def test_a_label_is_of_one_entry_and_in_no_digest() -> None:
    config = changed("autoencoders.main.label", "whole model")
    config["autoencoders"]["plain"] = {"like": "main", "code_noise": "none", "label": "without noise"}
    config["autoencoders"]["again"] = {"like": "plain"}
    labelled = load_config(config)
    found = labelled.autoencoders
    assert [found[name].label for name in ("main", "plain", "again")] == ["whole model", "without noise", None]
    assert found["plain"].numerical() == found["again"].numerical()
    assert "label" not in found["main"].model_dump(), "nor in a job's settings"
    assert labels(Jobs(labelled), list(found)) == {
        "main": "BRIGHT (whole model)",
        "plain": "BRIGHT (without noise)",
        "again": "BRIGHT",
    }
    for wrong in ("a=b", "", " x", "x" * 61):
        assert "autoencoders.main.label" in complaint(changed("autoencoders.main.label", wrong))


def test_without_tables_all_models_and_samples_have_rows() -> None:
    tables = load_config(MINIMAL).tables_or_default
    assert (tables.table2, tables.table3, tables.table5.rows) == (["main"], ["main"], ["main"])


def test_the_demo_with_all_families_reuses_the_results_of_the_demo() -> None:
    """Entries that both configs have are the same, and every entry of the demo is among those of demo-all."""
    demo, every = (read_config(CONFIG / f"{name}.yaml") for name in ("demo", "demo-all"))
    for section in ("datasets", "autoencoders", "diffusions", "samples"):
        ours, theirs = getattr(demo, section), getattr(every, section)
        assert {name: theirs.get(name) for name in ours} == ours
    assert every.evaluation == demo.evaluation


def test_the_paper_config_trains_with_the_papers_settings() -> None:
    model = read_config(CONFIG / "paper.yaml").autoencoders["ffhq-64x64x4"]
    assert model.training.learning_rate == 2e-3
    assert (model.training.epsilon, model.training.discriminator_epsilon) == (1e-15, 1e-8)
    assert (model.losses.l2_weight, model.losses.perceptual_weight) == (20, 5)
    assert (model.losses.perceptual.network, model.losses.perceptual.distance) == ("vgg16", "squared"), "as cited"
    assert model.losses.adversarial.kind == "wgan_gp"
    assert (model.losses.adversarial.weight, model.losses.adversarial.penalty_weight) == (1, 4)
    assert model.losses.adversarial.start_images == 0, "from the first step"


def test_operational_keys_are_not_numerical() -> None:
    operational = {"gpus": 4, "micro_batch": 4, "checkpointing": True, "compile": True, "trackers": ["mlflow"]}
    operational |= {"save_every_s": 1.0, "keep_every": 2, "validate_every": 3}
    model = load_config(changed("autoencoders.main.execution", operational)).autoencoders["main"]
    assert model.numerical()["execution"] == {"precision": "fp32", "cpu_threads": 1}
    assert "license" not in load_config(MINIMAL).datasets["photos"].numerical()


def test_the_comparison_of_learning_rates_differs_in_the_rate_alone_and_trains_no_other_autoencoder() -> None:
    values = yaml.safe_load((CONFIG / "paper.yaml").read_text(encoding="utf-8"))
    alone = load_config(values)
    update_config(values, yaml.safe_load((CONFIG / "learning-rates.yaml").read_text(encoding="utf-8")))
    both = load_config(values)
    assert both.autoencoders == alone.autoencoders
    printed, of_code = (both.diffusions[f"ffhq-{name}-rate"] for name in ("printed", "code"))
    assert (printed.training.learning_rate, of_code.training.learning_rate) == (8e-4, 8e-5)
    training = of_code.training.model_copy(update={"learning_rate": 8e-4})
    assert of_code.model_copy(update={"training": training}) == printed
    assert printed.training.steps == 5000 and printed.unet == alone.diffusions["ffhq"].unet
    assert both.tables.text_10k.rows == ["ffhq-printed-rate", "ffhq-code-rate"]
