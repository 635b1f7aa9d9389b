"""What the configs train with is what the study found: its record is in docs/comparison.md."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.root import read_config
from pipeline.settings.study import Grid

ROOT = Path(__file__).parents[2]
SEARCHED = list(Grid.model_fields)


def record() -> list[dict[str, str]]:
    """The rows of the study's table."""
    page = (ROOT / "docs" / "comparison.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"<!-- table study_rates -->(.*?)<!-- end -->", page, re.DOTALL)
    heading, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines() if line.startswith("|")
    ]
    return [dict(zip((name.lower().replace(" ", "_") for name in heading), row, strict=True)) for row in rows]


def tried(row: dict[str, str]) -> tuple[Any, ...]:
    values = (ast.literal_eval(row[key]) for key in SEARCHED)
    return tuple(tuple(value) if isinstance(value, list) else value for value in values)


def test_the_record_has_every_trial_of_the_grid_for_each_family() -> None:
    study = read_config(ROOT / "config" / "comparison.yaml").studies["rates"]
    grid = {tuple(one[key] for key in SEARCHED) for one in study.grid.combinations()}
    for name in study.autoencoders:
        rows = [row for row in record() if row["autoencoder"] == name]
        assert {tried(row) for row in rows} == grid and len(rows) == len(grid)


def test_the_best_trial_of_each_family_has_its_lowest_loss() -> None:
    (loss,) = (key for key in record()[0] if key.startswith("loss"))
    for best in (row for row in record() if row["best"]):
        of_family = [float(row[loss]) for row in record() if row["autoencoder"] == best["autoencoder"]]
        assert float(best[loss]) == min(of_family)


@pytest.mark.parametrize("name", ["comparison", "demo", "demo-all", "demo-colour", "transfer"])
def test_every_family_is_trained_with_the_settings_that_were_best_for_it(name: str) -> None:
    best = {row["autoencoder"]: tried(row) for row in record() if row["best"]}
    models = read_config(ROOT / "config" / f"{name}.yaml").autoencoders
    assert {model.family for model in models.values()} <= best.keys()
    for entry, model in models.items():
        assert tuple(getattr(model.training, key) for key in SEARCHED) == best[model.family], entry
