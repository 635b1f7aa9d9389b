"""The workflow's entries: the root's Snakefile, workflow/Snakefile for the catalog, and use as a module."""

import shutil
from pathlib import Path

import pytest
from documented import REFERENCE, blocks
from tiny_workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

CATALOG = str(REPOSITORY / "workflow" / "Snakefile")


@pytest.mark.parametrize("entry", ["Snakefile", "workflow/Snakefile"])
@pytest.mark.parametrize("target", [(), ("table2",)], ids=["all", "one table"])
def test_both_entries_plan_the_same_jobs(tiny_run: Workflow, tmp_path: Path, entry: str, target: tuple[str]) -> None:
    """Also in a folder without a profile: both entries have one."""
    shutil.copy(tiny_run.folder / "config.yaml", tmp_path)
    command = ["snakemake", "--snakefile", str(REPOSITORY / entry), "--configfile", "config.yaml", "-n", "--", *target]
    plan = Workflow(tmp_path).call(*command)
    assert "warning: `rerun-triggers" not in plan.text
    assert plan.jobs["train_autoencoder"] == (plan.jobs["reconstruct"] if target else 2)
    assert ("\nall " in plan.text) == (not target)


def test_a_finished_run_has_nothing_to_do_by_the_other_entry(tiny_run: Workflow) -> None:
    command = ("snakemake", "--snakefile", CATALOG, "--configfile", "config.yaml", "-n")
    assert tiny_run.call(*command).nothing_to_do


def test_another_snakefile_uses_the_workflow_as_a_module(play: Workflow) -> None:
    """The page's own lines, for the tiny run: a missing result is made again, and a rule that reads it runs."""
    (text,) = (block for block in blocks(REFERENCE, "python") if "module bright" in block)
    text = text.replace("/path/to/bright", str(REPOSITORY)).replace("mine.yaml", "config.yaml")
    (play.folder / "Snakefile").write_text(text.replace("results/mine", "results/tiny"))
    table = "results/store/tables/table2-*/table.md"
    before = play.files(table)
    (content,) = before.values()
    play.remove("results/store/tables/table2-*", "results/tiny/tables/table2.md")

    command = ("snakemake", "--cores", "2", "--rerun-triggers=mtime")
    assert play.call(*command, "-n").jobs == {"make_table": 1, "publish": 1, "own": 1}
    said = play.call(*command).text
    assert play.files(table) == before
    lines = len(content.decode().splitlines())
    assert play.text("own.txt").split() == [str(lines), "results/tiny/tables/table2.md"]
    assert "Made: 1 result: make table" in " ".join(said.replace("_", " ").split()), "its handlers are called"
    assert play.call(*command, "-n").nothing_to_do
