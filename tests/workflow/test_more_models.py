"""More models than the tiny run has, in one run: every family, one from outside, initial weights, foreign samples.

The outside family is the one of docs/adding-a-family.md, as its page has it. A study trains its trials beside them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from bright_pipeline.families import AUTOENCODERS, GENERATORS
from bright_pipeline.settings.weights import EXPORTED
from documented import ROOT
from tiny_workflow import Run, Workflow

FAMILIES = Path(__file__).with_name("families.yaml")
PAGE = (ROOT / "docs" / "adding-a-family.md").read_text(encoding="utf-8")


def block(name: str) -> str:
    """The page's code block under the comment with this name."""
    (found,) = re.findall(rf"<!-- {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    return found


def add_models(config: dict[str, Any]) -> None:
    for section, entries in yaml.safe_load(FAMILIES.read_text()).items():
        config[section] = config.get(section, {}) | entries
    changes = {"dataset": "tiny", "training": {"images": 64, "batch": 16}, "execution": {"log_every": 1}}
    config["autoencoders"]["averages"] = yaml.safe_load(block("entry"))["autoencoders"]["averages"] | changes
    unet = {"attention_resolutions": [4]}
    config["diffusions"]["averages"] = {"like": "main", "autoencoder": "averages", "unet": unet}
    config["samples"]["averages"] = {"like": "main", "diffusion": "averages"}
    for rows in (config["tables"]["table2"], config["tables"]["table3"], config["tables"]["table5"]["rows"]):
        rows.append("averages")


@pytest.fixture(scope="module")
def finished(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> tuple[Workflow, Run]:
    """The run with these models, and the output of the command that made it; only to be read."""
    more = tiny_run.copy(tmp_path_factory.mktemp("more") / "models")
    (more.folder / "averages").mkdir()
    (more.folder / "averages" / "__init__.py").touch()
    for name in ("family", "network"):
        (more.folder / "averages" / f"{name}.py").write_text(block(name))
    (samples,) = more.files("results/store/samples/gaussian-*/images-*.zip").values()
    (more.folder / "theirs.zip").write_bytes(samples)
    more.configure(add_models)
    return more, more.run("all", "study_rates")


def table(workflow: Workflow, name: str) -> str:
    return (workflow.folder / "results" / "tiny" / "tables" / f"{name}.md").read_text()


def methods(workflow: Workflow, name: str) -> set[str]:
    """The methods of a table's measured rows."""
    return set(re.findall(r"^\| measured[^|]*\|[^|]*\| ([^|]*?) *\|", table(workflow, name), re.MULTILINE))


def test_each_model_is_trained_once_and_has_its_rows(finished: tuple[Workflow, Run]) -> None:
    workflow, run = finished
    assert run.jobs["train_autoencoder"] == 9 + 2, "with the trials of the study"
    assert run.jobs["train_diffusion"] == 3 + 1, "none for the decoder stage"
    assert run.jobs["dump_codes"] == 4 + 1 + 1, "of both splits for the authors' code"
    assert "BRIGHT (LDM, decoder stage)" in methods(workflow, "table5")
    assert run.jobs["train_generator"] == 3
    found = {name.split(" (")[0] for name in methods(workflow, "table2")}
    assert {"BRIGHT", "VQGAN", "RQ-VAE", "KL autoencoder", "Averages"} <= found
    diffusions = {f"LDM (codes of {name})" for name in ("VQGAN", "KL autoencoder", "Averages")}
    assert {*diffusions, "DDPM", "StyleGAN2", "ImageBART"} <= methods(workflow, "table5")
    assert "Averages" in table(workflow, "table3")
    rows = pd.read_csv(workflow.folder / "results" / "tiny" / "tables" / "table5.csv").set_index("name")
    theirs, gaussian = (rows.loc[name, "fd_efficientnet_lite0_measured"] for name in ("theirs", "gaussian"))
    assert rows.loc["theirs", "method"] == "Elsewhere" and theirs == pytest.approx(gaussian, rel=1e-6) and theirs > 0
    for name in ("section34", "equal_budget", "table_sizes", "noise_generation", "ablations", "rates"):
        assert methods(workflow, name)
    assert workflow.run("-n", "all", "study_rates").nothing_to_do


def test_a_stage_is_exported_with_the_diffusion_model_on_its_codes_and_each_card_has_its_own_samples(
    finished: tuple[Workflow, Run], tmp_path: Path
) -> None:
    pictures, sums = {}, {}
    for name in ("main", "stage"):
        finished[0].python("bright_pipeline.commands", "export", name, str(tmp_path / name), "--config", "config.yaml")
        pictures[name] = {path.name for path in (tmp_path / name).glob("samples-*.png")}
        lines = (tmp_path / name / "SHA256SUMS").read_text().splitlines()
        sums[name] = {file: digest for digest, file in map(str.split, lines)}
    assert pictures == {name: {f"samples-{name}.png"} for name in ("main", "stage")}
    same = {kind: sums["main"][file] == sums["stage"][file] for kind, file in EXPORTED.items() if file in sums["main"]}
    assert same == {"autoencoder": False, "diffusion": True}


def test_initial_weights_help(finished: tuple[Workflow, Run]) -> None:
    """Twenty steps from the tiny run's model are better than twenty from random weights."""
    workflow, _ = finished
    digests = {path.name.partition("-")[0]: path.name.rpartition("-")[2] for path in workflow.folders("autoencoders")}
    assert digests["tuned"] not in (digests["main"], digests["scratch"])
    psnr = {}
    for folder in workflow.folders("reconstructions"):
        summary = json.loads((folder / "summary.json").read_text())
        psnr[folder.name.rpartition("-")[0]] = summary["values"]["psnr"]["number"]
    assert psnr["tuned"] > psnr["scratch"]


def test_a_study_lists_its_trials_and_changes_rerun_what_they_concern(finished, tmp_path) -> None:
    more = finished[0].copy(tmp_path / "copy")
    record = pd.read_csv(more.folder / "results" / "tiny" / "tables" / "study_rates.csv")
    assert sorted(record["learning_rate"]) == [1e-4, 1e-2]
    assert record["loss"][0] == record["loss"].min() and list(record["best"]) == [True, False]
    assert (more.folder / "results" / "tiny" / "figures" / "studies.png").exists()
    network = more.folder / "averages" / "network.py"
    network.write_text(network.read_text().replace("1e-4 *", "2e-4 *"))
    again = more.run("-n").jobs
    assert again["train_autoencoder"] == again["train_diffusion"] == 1
    more.configure(lambda config: config["studies"]["rates"]["grid"].update(learning_rate=[1e-4, 1e-2, 1e-1]))
    again = more.run("-n", "study_rates").jobs
    assert again == {"train_autoencoder": 1, "reconstruct": 1, "make_study": 1, "study_rates": 1}
    more.configure(lambda config: config["autoencoders"]["averages"].update(widht=8))
    error = "autoencoders.averages.widht: no such key; did you mean width?"
    assert error in more.run("-n", expect=1).text, "one line for an error in an outside family"


def test_the_page_lists_the_families_of_the_registry() -> None:
    assert all(f"`{name}`" in PAGE for name in (*AUTOENCODERS, *GENERATORS))
