"""The workflow's entries: the root's Snakefile, workflow/Snakefile where the catalog looks, another's Snakefile."""

import re
import shutil
from pathlib import Path

import pytest
from documented import blocks
from tiny_workflow import REPOSITORY, Workflow

pytestmark = pytest.mark.slow

REFERENCE = REPOSITORY / "docs" / "reference.md"


def jobs_of(told: str) -> dict[str, str]:
    """Rule -> number of jobs, as a dry run counts them."""
    return dict(re.findall(r"^(\w+) +(\d+)$", told.partition("Job stats:")[2].partition("\n\n")[0], re.MULTILINE))


@pytest.mark.parametrize("entry", ["Snakefile", "workflow/Snakefile"])
@pytest.mark.parametrize("target", [(), ("table2",)], ids=["all", "one table"])
def test_both_entries_plan_the_same_jobs(tiny_run: Workflow, tmp_path: Path, entry: str, target: tuple[str]) -> None:
    """Also where the folder has no profile: it lies beside either."""
    shutil.copy(tiny_run.folder / "config.yaml", tmp_path)
    command = ["snakemake", "--snakefile", str(REPOSITORY / entry), "--configfile", "config.yaml", "-n", "--", *target]
    told = Workflow(tmp_path).call(*command).text
    found = jobs_of(told)
    assert "warning: `rerun-triggers" not in told
    assert found.get("train_autoencoder") == ("2" if not target else found["reconstruct"])
    assert ("all" in found) == (not target)


def test_a_finished_run_has_nothing_to_do_by_the_other_entry(tiny_run: Workflow) -> None:
    told = tiny_run.call(
        *("snakemake", "--snakefile", str(REPOSITORY / "workflow" / "Snakefile"), "--configfile", "config.yaml", "-n")
    )
    assert "Nothing to be done" in told.text


def test_another_snakefile_takes_it_as_a_module(play: Workflow) -> None:
    """The page's own lines, for the tiny run: what is missing is made again, and the rule behind it runs."""
    (text,) = (block for block in blocks(REFERENCE.read_text(encoding="utf-8"), "python") if "module bright" in block)
    text = text.replace("/path/to/bright", str(REPOSITORY)).replace("mine.yaml", "config.yaml")
    (play.folder / "Snakefile").write_text(text.replace("results/mine", "results/tiny"))
    (table,) = (play.folder / "results" / "store" / "tables").glob("table2-*")
    content = (table / "table.md").read_bytes()
    shutil.rmtree(table)
    (play.folder / "results" / "tiny" / "tables" / "table2.md").unlink()

    command = ("snakemake", "--cores", "2", "--rerun-triggers=mtime")
    told = play.call(*command, "-n").text
    assert jobs_of(told) == {"make_table": "1", "publish": "1", "own": "1", "total": "3"}
    told = play.call(*command).text
    assert (table / "table.md").read_bytes() == content
    lines = len(content.decode().splitlines())
    assert (play.folder / "own.txt").read_text().split() == [str(lines), "results/tiny/tables/table2.md"]
    assert "Made: 1 result: make table" in " ".join(told.replace("_", " ").split()), "its handlers are called"
    assert "Nothing to be done" in play.call(*command, "-n").text
