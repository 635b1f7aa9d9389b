"""The workflow's entries: the root's Snakefile, workflow/Snakefile, a deployment from the catalog, use as a module."""

import re
import shutil
from pathlib import Path

import pytest
from documented import REFERENCE, blocks
from places import PERSON
from tiny_workflow import REPOSITORY, TINY, Run, Workflow, add_own_modules, copy_checkout

pytestmark = pytest.mark.slow

CATALOG = str(REPOSITORY / "workflow" / "Snakefile")


@pytest.mark.parametrize("entry", ["Snakefile", "workflow/Snakefile"])
@pytest.mark.parametrize("target", [(), ("table2",)], ids=["all", "one table"])
def test_both_entries_plan_the_same_jobs(tiny_run: Workflow, tmp_path: Path, entry: str, target: tuple[str]) -> None:
    shutil.copy(tiny_run.folder / "config.yaml", tmp_path)
    command = ["snakemake", "--snakefile", str(REPOSITORY / entry), "--configfile", "config.yaml", "-n", "--", *target]
    plan = Workflow(tmp_path).call(*command)
    assert plan.jobs["train_autoencoder"] == (plan.jobs["reconstruct"] if target else 2)
    assert ("\nall " in plan.text) == (not target)


def test_a_finished_run_has_nothing_to_do_by_the_other_entry(tiny_run: Workflow) -> None:
    command = ("snakemake", "--snakefile", CATALOG, "--configfile", "config.yaml", "-n")
    assert tiny_run.call(*command).nothing_to_do


def test_another_snakefile_uses_the_workflow_as_a_module(play: Workflow) -> None:
    """The page's own lines, for the tiny run: a missing result is made again, and a rule that reads it runs."""
    add_own_modules(play.folder)
    (play.folder / "Snakefile").write_text(own_snakefile())
    table = "results/store/tables/table2-*/table.md"
    before = play.files(table)
    (content,) = before.values()
    play.remove("results/store/tables/table2-*", "results/tiny/tables/table2.md")

    def run(*options: str) -> Run:
        return play.call("snakemake", "--cores", "2", *options, PYTHONPATH="")

    assert run("-n").jobs == {"make_table": 1, "publish": 1, "own": 1}
    said = run().text
    assert play.files(table) == before
    lines = len(content.decode().splitlines())
    assert play.text("own.txt").split() == [str(lines), "results/tiny/tables/table2.md"]
    assert "Made: 1 result: make table" in " ".join(said.replace("_", " ").split()), "its handlers are called"
    assert "\nNone\n" in said, "its own handler is called, and there is no limit of jobs a second"
    assert run("-n").nothing_to_do


def own_snakefile() -> str:
    """The page's own Snakefile for the tiny run, with a handler."""
    (text,) = (block for block in blocks(REFERENCE, "python") if "module bright" in block)
    text = text.replace("/path/to/bright", str(REPOSITORY)).replace("mine.yaml", "config.yaml")
    return text.replace("results/mine", "results/tiny") + "\n\nonsuccess: print(workflow.scheduler.job_rate_limiter)\n"


def deploy(repository: Workflow, folder: Path) -> None:
    """What `snakedeploy deploy-workflow ADDRESS . --tag v1` (0.17.1) writes: it cannot be installed on Python 3.13."""
    for name in ("config", "profiles"):
        shutil.copytree(repository.folder / name, folder / name)
    lines = ['configfile: "config/config.yaml"', "module bright:", "    snakefile:"]
    lines += ['        github("someone/bright", path="workflow/Snakefile", tag="v1")', "    config:", "        config"]
    (folder / "workflow").mkdir()
    (folder / "workflow" / "Snakefile").write_text("\n".join([*lines, "use rule * from bright", ""]))


def test_a_deployment_from_the_catalog_runs_to_its_end(tmp_path: Path, tiny_run: Workflow) -> None:
    """As the catalog's page says, but for a copy of this repository instead of GitHub's.

    The deployed Snakefile uses the workflow as a module. It finds the trained models of another run.
    """
    host, folder = tmp_path / "host", tmp_path / "deployed"
    repository = Workflow(copy_checkout(host / "someone" / "bright"))
    for line in ("init", "add --all", "commit --message First", "tag v1"):
        repository.call("git", *line.split(), **PERSON)
    deployed = Workflow(folder)
    deploy(repository, folder)
    own = {"PYTHONPATH": "", "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "GIT_CONFIG_COUNT": "1"}
    own |= {"GIT_CONFIG_KEY_0": f"url.{host}/.insteadOf", "GIT_CONFIG_VALUE_0": "https://github.com/"}
    add_own_modules(folder)
    said = deployed.call("snakemake", "--cores", "2", expect=1, **own).text
    assert re.search(r"^error: .*/path/to/images", said, re.MULTILINE)

    shutil.copy(TINY, folder / "config" / "config.yaml")
    shutil.copytree(tiny_run.folder / "results", folder / "results", symlinks=True)
    deployed.remove("results/store/datasets", "results/store/reconstructions", "results/store/reports", "results/tiny")
    said = deployed.call("snakemake", "--cores", "2", **own).text
    assert re.search(r"^Made: 5 results: prepare_dataset, reconstruct 3, make_report$", said, re.MULTILINE)
    assert deployed.text("results/tiny/config.yaml").startswith("# The run of config/config.yaml\n")
    assert deployed.call("snakemake", "-n", **own).nothing_to_do
