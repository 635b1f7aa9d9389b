"""results/RUN: copies of what the config has, and of nothing else."""

from pathlib import Path

import pytest
from finished_plan import finish, tiny_plan, tiny_values


def test_copies_of_another_configs_results_go_and_come_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finish(tiny_plan())
    before = sorted(path for path in Path("results/tiny").rglob("*") if path.is_file())
    changed = tiny_values()
    changed["seed"] = 1
    tiny_plan(changed).publish()
    # Counts know no seed: Table 3 is the same table.
    assert [path.name for path in before if path.suffix in (".md", ".png", ".json") and path.exists()] == ["table3.md"]
    tiny_plan().publish()
    assert sorted(path for path in Path("results/tiny").rglob("*") if path.is_file()) == before
