"""Who looks at a workflow changes nothing: a clone of a shared, committed run stays as git has it."""

from pathlib import Path

import pytest
from repository import Repository, finished_repository
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

LOOKS = ("-n", "--list-rules", "--lint", "--summary", "--dag", "--rulegraph", "--unlock")


@pytest.fixture(scope="module")
def clone(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Repository:
    """A fresh clone of the tiny run's repository: what git holds of it, none of the store's payloads."""
    folder = tmp_path_factory.mktemp("shared")
    repository = finished_repository(folder / "origin", tiny_run)
    repository.commit("A run")
    return repository.clone(folder / "clone")


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_at_a_shared_run_writes_and_removes_nothing(clone: Repository, look: str) -> None:
    committed = clone.git("ls-files", "results/tiny").text.split()
    assert {"results/tiny/tables/table2.md", "results/tiny/metrics.json"} <= set(committed)
    clone.run(look)
    assert clone.git("status", "--porcelain").text == ""


def test_snakemakes_report_of_a_shared_run_writes_its_own_file_alone(clone: Repository, tmp_path: Path) -> None:
    clone.run("--report", str(tmp_path / "report.html"), expect=1)
    assert clone.git("status", "--porcelain").text == ""


def test_a_run_that_makes_one_table_leaves_the_copies_of_what_is_not_here(clone: Repository) -> None:
    said = clone.run("results/tiny/tables/table3.md").text
    changed = {line.split()[-1] for line in clone.git("status", "--porcelain", "--", "results/tiny").text.splitlines()}
    measured_again = {f"results/tiny/tables/table3.{suffix}" for suffix in ("csv", "md", "tex")}
    assert changed <= measured_again | {"results/tiny/dvc.yaml"}, said[-2000:]


def test_a_run_with_nothing_to_make_shows_its_results_again(clone: Repository) -> None:
    clone.run("table3")
    table = clone.folder / "results" / "tiny" / "tables" / "table3.md"
    right = table.read_text()
    table.write_text("another table\n")
    assert clone.run("table3").nothing_to_do
    assert table.read_text() == right
