"""The digest of numerical code: what moves it and what does not."""

import ast
from pathlib import Path

import pytest

from pipeline.base import code
from pipeline.plan.stages import STAGES

MODULE = '''"""A module."""

from pipeline.helpers import double

WEIGHT = 20


class Loss:
    """A loss."""

    def __call__(self, value: float) -> float:
        """Its value."""
        # twice
        return WEIGHT * double(value)
'''
HELPERS = "def double(value):\n    return 2 * value\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A project of two modules, one importing the other."""
    package = tmp_path / "project" / "pipeline"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "losses.py").write_text(MODULE)
    (package / "helpers.py").write_text(HELPERS)
    (package / "progress.py").write_text("BAR = 1\n")
    return package


def digest(package: Path) -> str:
    """The digest as a new process would take it."""
    for cached in (code.code_digest, code._tree, code._imports, code._module_digest):
        cached.cache_clear()
    return code.code_digest(("pipeline.losses",), package.parent)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# twice", "# two times"),
        ("        # twice\n", ""),
        ('"""A module."""', '"""Something else."""'),
        ('    """A loss."""\n\n', ""),
        ('"""Its value."""', "'''Its value, more words\nand lines.'''"),
        ("WEIGHT * double(value)", "(WEIGHT *\n            double(value))"),
        ("WEIGHT = 20", "WEIGHT = 2_0"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_move_it(tree: Path, old: str, new: str) -> None:
    before = digest(tree)
    assert old in MODULE
    (tree / "losses.py").write_text(MODULE.replace(old, new))
    ast.parse((tree / "losses.py").read_text())
    assert digest(tree) == before


@pytest.mark.parametrize(
    ("old", "new"), [("WEIGHT = 20", "WEIGHT = 21"), ("* double", "+ double"), ("WEIGHT = 20", "WEIGHT = 20.0")]
)
def test_a_changed_constant_or_operator_moves_it(tree: Path, old: str, new: str) -> None:
    before = digest(tree)
    (tree / "losses.py").write_text(MODULE.replace(old, new))
    assert digest(tree) != before


def test_a_change_in_an_imported_module_moves_it(tree: Path) -> None:
    before = digest(tree)
    (tree / "helpers.py").write_text(HELPERS.replace("2", "3"))
    assert digest(tree) != before


def test_a_change_in_a_module_without_numbers_does_not(tree: Path) -> None:
    (tree / "losses.py").write_text(MODULE + "\n\nfrom pipeline.base import progress\n")
    (tree / "base").mkdir()
    before = digest(tree)
    (tree / "base" / "progress.py").write_text("BAR = 2\n")
    assert digest(tree) == before


def test_imports_inside_functions_and_of_names_are_followed(tree: Path) -> None:
    (tree / "helpers.py").write_text("def double(value):\n    from pipeline.deep import two\n    return two\n")
    (tree / "deep.py").write_text("two = 2\n")
    digest(tree)
    assert code.closure(["pipeline.losses"], tree.parent) == ["pipeline.deep", "pipeline.helpers", "pipeline.losses"]


def test_a_string_that_is_no_docstring_counts(tree: Path) -> None:
    (tree / "losses.py").write_text(MODULE + 'KIND = "a"\n')
    before = digest(tree)
    (tree / "losses.py").write_text(MODULE + 'KIND = "b"\n')
    assert digest(tree) != before


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_of_every_stage_is_there(stage: str) -> None:
    modules = code.closure(list(STAGES[stage].code))
    assert modules
    assert len(code.code_digest(STAGES[stage].code)) == 64


def test_the_metric_moves_the_evaluation_alone() -> None:
    users = {name for name, stage in STAGES.items() if "pipeline.evaluation.metrics" in code.closure(list(stage.code))}
    assert users == {"score_features"}


def test_training_code_moves_no_stage_but_the_trainings() -> None:
    users = {name for name, stage in STAGES.items() if "pipeline.training.loop" in code.closure(list(stage.code))}
    assert users == {"train_autoencoder", "train_diffusion", "train_generator"}
