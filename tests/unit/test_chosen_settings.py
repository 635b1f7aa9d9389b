"""What the configs train with is what the studies found: their records are in docs/comparison.md."""

import ast
from pathlib import Path
from typing import Any

import pytest
from page_tables import page_table

from pipeline.config.root import read_config
from pipeline.settings.study import Grid, Study

ROOT = Path(__file__).parents[2]
SEARCHED = list(Grid.model_fields)
STUDIES = read_config(ROOT / "config" / "comparison.yaml").studies


def tried(row: dict[str, str], study: Study) -> dict[str, Any]:
    """The settings of a trial: a row of the study's table."""
    keys = [key for key in SEARCHED if getattr(study.grid, key)]
    values = {key: ast.literal_eval(row[key.replace("_", " ")]) for key in keys}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def best(study: str) -> dict[str, dict[str, Any]]:
    """The best settings of each family in a study."""
    rows = page_table("comparison.md", f"study_{study}")
    return {row["Autoencoder"]: tried(row, STUDIES[study]) for row in rows if row["Best"]}


def chosen(family: str, images: int) -> dict[str, Any]:
    """For so many images: what the studies of about that length found; beyond, a rate that fell falls once more."""
    short = best("rates")[family]
    longer = short | best("longer")[family] | best("longer_encoder")[family]
    if images < 2 * STUDIES["rates"].images:
        return short
    if images < 2 * STUDIES["longer"].images:
        return longer
    fall = longer["learning_rate"] / short["learning_rate"]
    return longer | {"learning_rate": longer["learning_rate"] * min(1.0, fall)}


@pytest.mark.parametrize("name", STUDIES)
def test_the_record_has_every_trial_of_the_grid_for_each_family_and_the_best_has_its_lowest_loss(name: str) -> None:
    study = STUDIES[name]
    for autoencoder in study.autoencoders:
        rows = [row for row in page_table("comparison.md", f"study_{name}") if row["Autoencoder"] == autoencoder]
        trials, grid = [tried(row, study) for row in rows], list(study.grid.combinations())
        assert len(trials) == len(grid) and all(trial in trials for trial in grid)
        assert [float(row["Loss ↓"]) for row in rows if row["Best"]] == [min(float(row["Loss ↓"]) for row in rows)]


@pytest.mark.parametrize("name", ["comparison", "demo", "demo-all", "demo-colour", "transfer"])
def test_every_family_is_trained_with_the_settings_that_were_best_for_it(name: str) -> None:
    for entry, model in read_config(ROOT / "config" / f"{name}.yaml").autoencoders.items():
        expected = chosen(model.family, model.training.images) | best("groups").get(entry, {})
        assert {key: getattr(model.training, key) for key in SEARCHED} == expected, entry
