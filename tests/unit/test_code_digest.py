"""The digest of a stage's code: which edits change it."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.base.code import ROOT, Code, code_digest, expected_code
from pipeline.base.errors import InputError

MODULE = '''"""A module."""

from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.base.errors import InputError
from pipeline.base.progress import Progress, logger
from pipeline.helpers import double

if TYPE_CHECKING:
    from pipeline.kinds import Kind

WEIGHT = 20


class Loss:
    """A loss."""

    def __call__(self, value: float, scale: Annotated[float, typer.Option(min=0, help="Times.")] = 2.0) -> float:
        """Its value."""
        # twice
        if value < 0:
            raise InputError(f"{value}: negative")
        logger.info("the value is %s", round(value))
        with Progress("double", 1, "values") as progress:
            progress.advance(1)
        return WEIGHT * double(value)
'''
HELPERS = "def double(value):\n    return 2 * value\n"
FAMILY = '''"""A family."""

from pydantic import Field, field_validator
from pipeline.settings.fields import Section
from pipeline.families import AutoencoderFamily


class Mine(Section):
    """Settings."""

    width: int = Field(3, description="Width.")

    @field_validator("width")
    @classmethod
    def _odd(cls, value):
        return value

    def doubled(self):
        return 2 * self.width
'''


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A project of a few modules."""
    package = tmp_path / "project" / "pipeline"
    for name, text in {
        "__init__": "",
        "losses": MODULE,
        "helpers": HELPERS,
        "kinds": "Kind = int\n",
        "base/__init__": "",
        "base/progress": "BAR = 1\n",
        "base/seeds": "FIRST = 1\n",
        "families/__init__": "",
        "families/mine": FAMILY,
    }.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / f"{name}.py").write_text(text)
    return package


def digest(package: Path, root: str = "pipeline.losses") -> str:
    """The digest as a new process would take it."""
    return Code(package.parent).digest([root])


def names(package: Path, root: str = "pipeline.losses") -> list[str]:
    return [module.name for module in Code(package.parent).closure([root])]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


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
        ("WEIGHT = 20\n", 'WEIGHT = 20\n"""What the value is multiplied by."""\n'),
        ("the value is %s", "it is %s"),
        ("        logger.info(", "        logger.info('now')\n        logger.info("),
        ("import Progress, logger", "import logger, Progress, log_to"),
        ('help="Times."', 'help="Multiplied by this.", metavar="NUMBER"'),
        ('f"{value}: negative"', 'f"{value}: below zero"'),
        ('"double", 1, "values"', '"compute", 2, "numbers"'),
        ("            progress.advance(1)\n", "            pass\n"),
        ("    from pipeline.kinds import Kind\n", "    from pipeline.other_kinds import Kind\n"),
    ],
)
def test_an_edit_that_changes_no_number_keeps_the_digest(package: Path, old: str, new: str) -> None:
    before = digest(package)
    replace(package / "losses.py", old, new)
    assert digest(package) == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("WEIGHT = 20", "WEIGHT = 21"),
        ("* double", "+ double"),
        ("WEIGHT = 20", "WEIGHT = 20.0"),
        ("WEIGHT = 20\n", 'WEIGHT = 20\nKIND = "a"\n'),
        ("scale: Annotated[float, typer.Option(min=0", "scale: Annotated[float, typer.Option(min=1"),
        ("= 2.0)", "= 3.0)"),
        ("if value < 0", "if value < 1"),
        ("round(value)", "torch.rand(1)"),  # a log line that moves the state of a generator
        ("from pipeline.helpers import", "from pipeline.kinds import"),
    ],
)
def test_an_edit_that_can_change_a_number_changes_the_digest(package: Path, old: str, new: str) -> None:
    before = digest(package)
    replace(package / "losses.py", old, new)
    assert digest(package) != before


def test_imported_modules_count_unless_they_are_excluded(package: Path) -> None:
    before = digest(package)
    (package / "base" / "progress.py").write_text("from pipeline.kinds import Kind\nBAR = 2\n")
    assert digest(package) == before
    assert names(package) == ["pipeline", "pipeline.helpers", "pipeline.losses"]
    replace(package / "helpers.py", "2", "3")
    assert digest(package) != before
    replace(package / "helpers.py", "def", "from pipeline.base import progress, seeds\n\ndef")
    assert names(package)[1:3] == ["pipeline.base", "pipeline.base.seeds"]


def test_imports_inside_functions_of_modules_and_of_their_packages_count(package: Path) -> None:
    (package / "deep").mkdir()
    (package / "deep" / "__init__.py").write_text("")
    (package / "deep" / "two.py").write_text("from . import three\nfrom ..kinds import Kind\nTWO = 2\n")
    (package / "deep" / "three.py").write_text("")
    (package / "helpers.py").write_text("def double(value):\n    from pipeline.deep import two\n    return two.TWO\n")
    deep = ["pipeline.deep", "pipeline.deep.three", "pipeline.deep.two"]
    assert names(package) == ["pipeline", *deep, "pipeline.helpers", "pipeline.kinds", "pipeline.losses"]
    before = digest(package)
    (package / "deep" / "__init__.py").write_text("ONE = 1\n")
    assert digest(package) != before


def test_a_new_key_of_a_family_keeps_the_digest_and_a_new_method_changes_it(package: Path) -> None:
    before = digest(package, "pipeline.families.mine")
    replace(
        package / "families" / "mine.py", "    @field_validator", "    depth: int = Field(1)\n\n    @field_validator"
    )
    replace(package / "families" / "mine.py", "        return value\n", "        return abs(value)\n")
    assert digest(package, "pipeline.families.mine") == before
    replace(package / "families" / "mine.py", "2 * self.width", "3 * self.width")
    assert digest(package, "pipeline.families.mine") != before


def test_a_family_from_elsewhere_counts_with_its_own_package_alone(
    package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in {
        "mine/__init__": "raise ImportError('planning imports no family here')\n",
        "mine/family": "from .layers import Layer\nfrom . import counts\nimport stranger\nimport pipeline.helpers\n",
        "mine/layers": "from mine.parts.one import ONE\nLayer = 1\n",
        "mine/counts": "",
        "mine/parts/one": "ONE = 1\n",  # a package without __init__
        "stranger/__init__": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / f"{name}.py").write_text(text)
    own = ["mine", "mine.counts", "mine.family", "mine.layers", "mine.parts.one"]
    assert names(package, "mine.family") == [*own, "pipeline", "pipeline.helpers"]
    before = digest(package, "mine.family")
    (tmp_path / "mine" / "layers.py").write_text("from mine.parts.one import ONE\nLayer = 2\n")
    assert digest(package, "mine.family") != before
    (tmp_path / "single_file_family.py").write_text("WIDTH = 1\n")
    assert names(package, "single_file_family") == ["single_file_family"]


def test_a_missing_or_broken_module_is_one_line(package: Path) -> None:
    with pytest.raises(InputError, match=r"^pipeline\.nowhere: no such module"):
        digest(package, "pipeline.nowhere")
    (package / "helpers.py").write_text("def double(:\n")
    with pytest.raises(InputError, match=r"helpers\.py, line 1: "):
        digest(package)


def test_it_is_the_same_in_every_version_of_python(package: Path) -> None:
    """Syntax trees differ between versions, digests must not: colleagues share results."""
    assert digest(package)[:16] == "95d60ff5ccf9ccf1"


def test_a_command_receives_roots_and_digest() -> None:
    roots = ("pipeline.complexity", "pipeline.models.bright")
    assert expected_code(roots) == f"pipeline.complexity+pipeline.models.bright={code_digest(roots)[:16]}"


def test_planning_digests_imports_neither_torch_nor_numpy() -> None:
    script = (
        "import sys; from pipeline.base.code import code_digest; code_digest(('pipeline.generate',));"
        "print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"
