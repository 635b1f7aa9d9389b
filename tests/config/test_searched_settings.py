"""Comparisons are fair: one loss, and the settings that searches chose; docs/csv and docs/*.md record the searches."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from bright_pipeline.config.root import Config, load_config
from bright_pipeline.settings.study import Grid, Study
from page_numbers import read_table
from snakemake.utils import update_config

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
SEARCHED = list(Grid.model_fields)


def config_of(*names: str) -> Config:
    """A config, with others on top of it, as Snakemake joins them."""
    values: dict[str, Any] = {}
    for name in names:
        update_config(values, yaml.safe_load((CONFIG / f"{name}.yaml").read_text(encoding="utf-8")))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(CONFIG)  # the families of config/exchanged
        return load_config(values)


MORE = {"ablations": "parts", "exchanged-networks": "exchanged"}  # runs on top of the comparison, and their studies
STUDIES = {
    (run, name): study
    for run in ("comparison", "demo-colour", "transfer")
    for name, study in config_of(run).studies.items()
} | {(run, name): config_of("comparison", run).studies[name] for run, name in MORE.items()}


def trials_of(run: str, study: str) -> list[dict[str, str]]:
    """The trials of a study: the csv beside the page, or the page's table."""
    if rows := read_table(f"{run}-study_{study}.csv", ROOT).rows:
        return rows
    rows = read_table(f"study_{study}", ROOT / "docs" / f"{run}.md").rows
    return [{re.sub(" ↓| ↑", "", key).lower().replace(" ", "_"): text for key, text in row.items()} for row in rows]


def settings_of(row: dict[str, str], study: Study) -> dict[str, Any]:
    """The settings of a trial."""
    values = {key: ast.literal_eval(row[key]) for key in SEARCHED if getattr(study.grid, key)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def best(run: str, study: str) -> dict[str, dict[str, Any]]:
    """The best settings of each autoencoder in a study."""
    trials = [row for row in trials_of(run, study) if row["best"] in ("best", "True")]
    return {row["autoencoder"]: settings_of(row, STUDIES[run, study]) for row in trials}


def chosen(family: str, images: int) -> dict[str, Any]:
    """The settings for a number of photographs of clothes: those of the study of about that length.

    For longer trainings, a rate that fell from the shorter to the longer study falls once more.
    """
    short = best("comparison", "rates")[family]
    longer = short | best("comparison", "longer")[family] | best("comparison", "longer_encoder")[family]
    if images < 2 * STUDIES["comparison", "rates"].images:
        return short
    if images < 2 * STUDIES["comparison", "longer"].images:
        return longer
    fall = longer["learning_rate"] / short["learning_rate"]
    return longer | {"learning_rate": longer["learning_rate"] * min(1.0, fall)}


@pytest.mark.parametrize(("run", "name"), STUDIES)
def test_a_record_has_every_trial_of_the_grid_and_the_best_has_the_lowest_loss(run: str, name: str) -> None:
    study = STUDIES[run, name]
    for autoencoder in study.autoencoders:
        rows = [row for row in trials_of(run, name) if row["autoencoder"] == autoencoder]
        trials, grid = [settings_of(row, study) for row in rows], list(study.grid.combinations())
        assert len(trials) == len(grid) and all(trial in trials for trial in grid)
        losses = [float(row["loss"]) for row in rows if row["best"] in ("best", "True")]
        assert losses == [min(float(row["loss"]) for row in rows)]


@pytest.mark.parametrize("name", ["comparison", "demo", "demo-all", "demo-colour", "transfer"])
def test_every_family_is_trained_with_the_settings_that_were_best_for_it(name: str) -> None:
    """A decoder stage has a quarter of the rate of the training that it continues."""
    autoencoders = config_of(name).autoencoders
    for entry, model in autoencoders.items():
        first = model if model.decoder_stage is None else autoencoders[model.initial_weights.entry]
        expected = chosen(model.family, first.training.images) | best("comparison", "groups").get(entry, {})
        if (name, "rates") in STUDIES and name != "comparison":
            expected |= best(name, "rates")[model.family]
        expected["learning_rate"] /= 1 if first is model else 4
        assert {key: getattr(model.training, key) for key in SEARCHED} == expected, entry


@pytest.mark.parametrize(("run", "name"), MORE.items())
def test_the_searched_ablations_have_the_best_rate_inside_the_grid(run: str, name: str) -> None:
    models, rates = config_of("comparison", run).autoencoders, best(run, name)
    grid = STUDIES[run, name].grid.learning_rate
    for entry, settings in rates.items():
        assert settings == {"learning_rate": models[entry].training.learning_rate}
        assert min(grid) < settings["learning_rate"] < max(grid)


def test_the_records_of_single_seeds_have_every_entry_of_their_config() -> None:
    config = config_of("comparison", "bottlenecks")
    rows = config.tables_or_default.latent_diffusion
    assert read_table("bottlenecks.csv", ROOT).labels == rows.autoencoders == rows.samples
    assert [config.autoencoder_of(config.samples[name]) for name in rows.samples] == rows.autoencoders
    assert read_table("bottlenecks-diffusion.csv", ROOT).labels == config.tables_or_default.table6.rows
    assert {config.datasets[model.dataset].split.tuning for model in config.autoencoders.values()} == {1000}
    lengths = yaml.safe_load((CONFIG / "lengths.yaml").read_text(encoding="utf-8"))
    assert read_table("lengths.csv", ROOT).labels == lengths["figures"]["sample_quality"]


def test_the_compared_families_have_one_loss_one_length_and_one_search() -> None:
    config, families = config_of("comparison"), ["bright", "vqgan", "rqvae", "kl"]
    beyond_the_paper = ("key-penalty-30", "kl-weight-03", "kl-24-channels")
    names = [name for name in config.tables_or_default.equal_budget if name not in beyond_the_paper]
    assert {tuple(study.autoencoders) for study in config.studies.values()} == {tuple(families), tuple(names[8:])}
    models = [config.autoencoders[name] for name in names]
    assert [model.family for model in models] == [*families, *families, *families[1:]]
    assert len({model.training.images for model in models}) == 1 and config.training_seeds == [0, 1, 2, 3, 4]
    equal, published, otherwise = models[:4], models[4:8], models[8:]
    shared = set.intersection(*(set(type(model.losses).model_fields) for model in equal)) - {"adversarial"}
    one_loss = [*equal, *otherwise]
    assert len({model.losses.model_dump_json(include=shared) for model in one_loss}) == 1
    assert {model.losses.adversarial.kind for model in one_loss} == {"none"}
    trainings = [
        [model.training.model_dump(exclude={"discriminator_learning_rate"}) for model in models]
        for models in (equal, published)
    ]
    assert trainings[0] == trainings[1]


def test_only_the_perceptual_loss_differs_between_its_variants() -> None:
    models = config_of("perceptual").autoencoders.values()
    losses = {(model.losses.perceptual.network, model.losses.perceptual.distance) for model in models}
    assert losses == {("vgg16", "squared"), ("vgg16", "absolute"), ("lpips_vgg", "squared"), ("none", "squared")}
    assert len({model.model_dump_json(exclude={"losses"}) for model in models}) == 1
