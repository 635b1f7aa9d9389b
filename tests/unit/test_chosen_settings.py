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


def record(study: str) -> list[dict[str, str]]:
    """The rows of a study's table."""
    rows = page_table("comparison.md", f"study_{study}")
    return [{name.lower().replace(" ", "_"): cell for name, cell in row.items()} for row in rows]


def searched(study: Study) -> list[str]:
    return [key for key in SEARCHED if getattr(study.grid, key)]


def tried(row: dict[str, str], study: Study) -> dict[str, Any]:
    values = {key: ast.literal_eval(row[key]) for key in searched(study)}
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def best(study: str) -> dict[str, dict[str, Any]]:
    """The best settings of each family in a study."""
    return {row["autoencoder"]: tried(row, STUDIES[study]) for row in record(study) if row["best"]}


def chosen(family: str, images: int) -> dict[str, Any]:
    """For so many images: what the studies of about that length found; beyond, a rate that fell falls once more."""
    short = best("rates")[family]
    longer = short | best("longer")[family] | best("longer_encoder")[family]
    if images < 2 * STUDIES["rates"].images:
        return short
    if images < 2 * STUDIES["longer"].images:
        return longer
    return longer | {"learning_rate": longer["learning_rate"] * min(1.0, fall(family))}


def fall(family: str) -> float:
    """The best rate of the decoder in the longer study over that in the short one."""
    return float(best("longer")[family]["learning_rate"] / best("rates")[family]["learning_rate"])


@pytest.mark.parametrize("name", STUDIES)
def test_the_record_has_every_trial_of_the_grid_for_each_family(name: str) -> None:
    study = STUDIES[name]
    for autoencoder in study.autoencoders:
        rows = [tried(row, study) for row in record(name) if row["autoencoder"] == autoencoder]
        grid = list(study.grid.combinations())
        assert len(rows) == len(grid) and all(trial in rows for trial in grid)


@pytest.mark.parametrize("name", STUDIES)
def test_the_best_trial_of_each_family_has_its_lowest_loss(name: str) -> None:
    (loss,) = (key for key in record(name)[0] if key.startswith("loss"))
    for best in (row for row in record(name) if row["best"]):
        of_family = [float(row[loss]) for row in record(name) if row["autoencoder"] == best["autoencoder"]]
        assert float(best[loss]) == min(of_family)


def test_from_one_study_to_the_next_brights_best_rate_falls_by_half_and_no_other() -> None:
    falls = {family: fall(family) for family in best("rates")}
    assert falls.keys() == {"bright", "vqgan", "rqvae", "kl"}
    assert falls.pop("bright") == 0.5
    assert min(falls.values()) >= 1


@pytest.mark.parametrize("name", ["longer", "longer_encoder", "groups"])
def test_the_best_of_the_longer_studies_lies_inside_what_they_searched(name: str) -> None:
    (key,) = searched(STUDIES[name])
    values = getattr(STUDIES[name].grid, key)
    for family, found in best(name).items():
        assert min(values) < found[key] < max(values), family


@pytest.mark.parametrize("name", ["comparison", "demo", "demo-all", "demo-colour", "transfer"])
def test_every_family_is_trained_with_the_settings_that_were_best_for_it(name: str) -> None:
    for entry, model in read_config(ROOT / "config" / f"{name}.yaml").autoencoders.items():
        expected = chosen(model.family, model.training.images) | best("groups").get(entry, {})
        assert {key: getattr(model.training, key) for key in SEARCHED} == expected, entry
