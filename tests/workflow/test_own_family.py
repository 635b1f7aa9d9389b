"""The family of docs/adding-a-family.md, as its page has it: from outside the package, through the whole workflow."""

import re
from typing import Any

import pytest
import yaml
from tiny_workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

PAGE = REPOSITORY / "docs" / "adding-a-family.md"


def block(name: str) -> str:
    """The page's code block under the comment with this name."""
    (found,) = re.findall(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return found


@pytest.fixture
def averages(play: Workflow) -> Workflow:
    """A copy of the tiny run whose config has the page's entry, with the page's modules beside it."""
    package = play.folder / "averages"
    package.mkdir()
    (package / "__init__.py").touch()
    for name in ("family", "network"):
        (package / f"{name}.py").write_text(block(name))
    entry = yaml.safe_load(block("entry"))["autoencoders"]["averages"]

    def add(config: dict[str, Any]) -> None:
        changes = {"dataset": "tiny", "training": {"images": 64, "batch": 16}, "execution": {"log_every": 1}}
        config["autoencoders"]["averages"] = entry | changes
        config["diffusions"]["averages"] = config["diffusions"]["main"] | {
            "autoencoder": "averages",
            "unet": config["diffusions"]["main"]["unet"] | {"attention_resolutions": [4]},
        }
        config["samples"]["averages"] = config["samples"]["main"] | {"diffusion": "averages"}
        config["tables"]["table2"].append("averages")
        config["tables"]["table3"].append("averages")
        config["tables"]["table5"]["rows"].append("averages")

    play.configure(add)
    return play


def table(workflow: Workflow, name: str) -> str:
    return (workflow.folder / "results" / "tiny" / "tables" / f"{name}.md").read_text()


def test_a_family_from_outside_the_package_goes_through_the_whole_workflow(averages: Workflow) -> None:
    made = averages.run().jobs
    expected = {"train_autoencoder": 1, "complexity": 1, "reconstruct": 1, "dump_codes": 1, "train_diffusion": 1}
    assert {stage: made.get(stage) for stage in expected} == expected
    assert re.search(r"\| measured +\| tiny +\| Averages", table(averages, "table2"))
    assert "Averages" in table(averages, "table3")
    assert "LDM (codes of Averages)" in table(averages, "table5")
    assert averages.run().nothing_to_do
    network = averages.folder / "averages" / "network.py"
    network.write_text(network.read_text().replace("1e-4 *", "2e-4 *"))
    again = averages.run("-n").jobs
    assert again["train_autoencoder"] == again["train_diffusion"] == 1


def test_a_key_that_the_family_lacks_is_refused_with_those_it_has(averages: Workflow) -> None:
    averages.configure(lambda config: config["autoencoders"]["averages"].update(widht=8))
    said = averages.run("-n", expect=1).text
    assert "autoencoders.averages.widht: no such key; did you mean width?" in said


def test_a_family_that_cannot_be_imported_is_one_line(averages: Workflow) -> None:
    averages.configure(lambda config: config["autoencoders"]["averages"].update(family="averges.family"))
    said = averages.run("-n", expect=1).text
    assert "autoencoders.averages.family: no such family: 'averges.family'; there are bright" in said


def test_the_page_is_no_older_than_the_registry() -> None:
    from pipeline.families import AUTOENCODERS, GENERATORS

    assert all(f"`{name}`" in PAGE.read_text(encoding="utf-8") for name in (*AUTOENCODERS, *GENERATORS))
