"""`make mutations` changes numbers, operators, calls and branches, but no text."""

import sys
from pathlib import Path

import yaml

MUTATIONS = Path(__file__).parents[1] / "mutations"
sys.path.append(str(MUTATIONS))  # its scripts run from their own folder

from reach import distances, near_and_far  # noqa: E402
from run import EQUIVALENT, PARTS, ROOT, candidates, drawn  # noqa: E402
from sites import mutations  # noqa: E402

SOURCE = '''
"""A docstring with 1 + 1."""

@torch.no_grad()
def area(width: float, height: float = 2.0) -> "float | 3":
    """Of a rectangle."""
    if width < 0:
        raise ValueError(f"{width + 1} is below 0")
    logger.info("width %d", width + 1)
    total = sum(side.detach() for side in fit(width, height))
    for row in range(rows):
        total += row
    return x[:count] if total >= 1 else -x.sum(dim=0)
'''
CHANGES = {
    "torch.no_grad -> torch.enable_grad",
    "2.0 -> 4.0",
    "width < 0 -> (width <= 0)",
    "0 -> 1",
    "side.detach() -> (side)",
    "fit(width, height) -> fit(height, width)",
    "range(rows) -> range(rows - 1)",
    "total += row -> total -= row",
    "total += row -> pass",
    "x[:count] if total >= 1 else -x.sum(dim=0) -> (-x.sum(dim=0) if total >= 1 else x[:count])",
    ":count -> :count + 1",
    "total >= 1 -> (total > 1)",
    "1 -> 2",
    "-x.sum(dim=0) -> (x.sum(dim=0))",
    "x.sum(dim=0) -> x.sum()",
    "0 -> 1 #1",
}


def test_every_kind_of_change_is_found_and_text_is_not_mutated(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(SOURCE)
    assert {one.name.partition(": ")[2] for one in mutations(path, tmp_path)} == CHANGES


def test_equivalent_mutations_exist_and_are_not_drawn() -> None:
    equivalent = yaml.safe_load(EQUIVALENT.read_text()) or {}
    names = {one.name for pattern in PARTS.values() for one in candidates(ROOT, pattern)}
    assert equivalent.keys() <= names
    assert not equivalent.keys() & {mutation.name for _, mutation in drawn(ROOT, 0, len(names))}


def test_the_tests_of_a_module_are_near_it_and_no_test_file_is_left_out() -> None:
    reached = distances(ROOT)
    for module, test in {
        "training/batches.py": "training/test_training_batches.py",
        "tables/claims.py": "tables/test_table_claims.py",
    }.items():
        near, far = near_and_far(reached, ROOT / "pipeline" / "bright_pipeline" / module)
        assert ROOT / "tests" / test in near, module
        assert sorted(near + far) == sorted(reached)
