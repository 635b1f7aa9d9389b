"""Every family of the tables through the whole workflow, tiny."""

import re
from pathlib import Path

import pytest
import yaml
from tiny_workflow import Workflow

ADDED = Path(__file__).with_name("families.yaml")


@pytest.fixture
def families(play: Workflow) -> Workflow:
    """A copy of the tiny run whose config has every family."""

    def add(config: dict) -> None:
        for section, entries in yaml.safe_load(ADDED.read_text()).items():
            config[section] = config.get(section, {}) | entries

    play.configure(add)
    return play


def methods(workflow: Workflow, table: str) -> list[str]:
    """The methods of a table's measured rows."""
    text = (workflow.folder / "results" / "tiny" / "tables" / f"{table}.md").read_text()
    return re.findall(r"^\| measured[^|]*\|[^|]*\| ([^|]*?) *\|", text, re.MULTILINE)


@pytest.mark.slow
def test_every_family_has_measured_rows(families: Workflow) -> None:
    made = families.run().jobs
    assert made["train_autoencoder"] == 3, "BRIGHT's are there"
    assert made["train_diffusion"] == 2
    assert made["train_generator"] == 3
    assert {"BRIGHT", "VQGAN", "RQ-VAE", "KL autoencoder"} <= {
        name.split(" (")[0] for name in methods(families, "table2")
    }
    ldms = {"LDM (codes of VQGAN)", "LDM (codes of KL autoencoder)"}
    assert {*ldms, "DDPM", "StyleGAN2", "ImageBART"} <= set(methods(families, "table5"))
    for table in ("section34", "equal_budget", "table_sizes", "noise_generation", "ablations"):
        assert methods(families, table)
    assert families.run().nothing_to_do
