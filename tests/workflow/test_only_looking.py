"""Commands that only look at a workflow leave a clone of a shared, committed run as git has it."""

from pathlib import Path

import pytest
from places import Place, Places

pytestmark = pytest.mark.slow

LOOKS = ("-n", "--list-rules", "--lint", "--summary", "--dag", "--rulegraph", "--unlock")


@pytest.fixture
def clone(places: Places) -> Place:
    """A fresh clone of the shared tiny run, without the store's payloads."""
    return places.copy("clone")


def test_a_look_at_a_shared_run_writes_and_removes_nothing(clone: Place, tmp_path: Path) -> None:
    committed = clone.git("ls-files", "results/tiny").split()
    assert {"results/tiny/tables/table2.md", "results/tiny/metrics.json"} <= set(committed)
    for look in LOOKS:
        clone.run(look)
        assert clone.git("status", "--porcelain") == "", look
    clone.run("--report", str(tmp_path / "report.html"), expect=1)
    assert clone.git("status", "--porcelain") == ""


def test_a_run_of_one_table_leaves_other_copies_and_writes_its_own_again(clone: Place) -> None:
    """Copies whose originals are not here stay; a changed copy is replaced, also by a run without jobs."""
    clone.run("results/tiny/tables/table3.md")
    changed = {line.split()[-1] for line in clone.git("status", "--porcelain", "--", "results/tiny").splitlines()}
    measured_again = {f"results/tiny/tables/table3.{suffix}" for suffix in ("csv", "md", "tex")}
    assert changed <= measured_again | {"results/tiny/dvc.yaml"}
    clone.run("table3")
    table = clone.folder / "results/tiny/tables/table3.md"
    right = table.read_text()
    table.write_text("another table\n")
    assert clone.run("table3").nothing_to_do
    assert table.read_text() == right
