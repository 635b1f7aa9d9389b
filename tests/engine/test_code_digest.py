"""The digest of a stage's code: which edits change it; a stage runs the code of its plan or does not start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.code import EXCLUDED, ROOT, Code

MODULE = '''"""A module."""

from typing import TYPE_CHECKING, Annotated

import typer

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress, logger
from bright_pipeline.helpers import double

if TYPE_CHECKING:
    from bright_pipeline.kinds import Kind

WEIGHT = 20


class Loss:
    """A loss."""

    def __call__(self, value: float, scale: Annotated[float, typer.Option(min=0, help="Times.")] = 2.0) -> float:
        """Its value."""
        # twice
        if value < 0:
            raise InputError(f"{value:{WEIGHT}}: negative")
        logger.info("the value is %s", round(value))
        with Progress("double", 1, "values") as progress:
            progress.advance(1)
        return WEIGHT * double(value)
'''
HELPERS = "def double(value):\n    return 2 * value\n"
FAMILY = '''"""A family."""

from pydantic import Field, field_validator
from bright_pipeline.settings.fields import Section
from bright_pipeline.families import AutoencoderFamily


class Mine(Section):
    """Settings."""

    width: int = Field(3, description="Width.")

    @field_validator("width")
    @classmethod
    def _odd(cls, value):
        return value

    def _check(self):
        return 2 * self.width
'''


def write_modules(folder: Path, modules: dict[str, str]) -> None:
    """Write modules, {path without suffix: text}, with the folders of their packages."""
    for name, text in modules.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A project of a few modules."""
    package = tmp_path / "project" / "pipeline" / "bright_pipeline"
    modules = {"losses": MODULE, "helpers": HELPERS, "kinds": "Kind = int\n", "families/mine": FAMILY}
    modules |= {"base/progress": "BAR = 1\n", "base/seeds": "FIRST = 1\n"}
    write_modules(package, modules | dict.fromkeys(("__init__", "base/__init__", "families/__init__"), ""))
    (package / EXCLUDED).write_text(
        "excluded: {bright_pipeline.base.progress: bars, bright_pipeline.base.errors: ends}\n"
    )
    return package


def digest(package: Path, root: str = "bright_pipeline.losses") -> str:
    """The digest as a new process would take it."""
    return Code(package.parent).digest([root])


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("        # twice\n", "", True),
        ('    """A loss."""\n\n', "", True),
        ('"""Its value."""', "'''Its value, more words\nand lines.'''", True),
        ("WEIGHT * double(value)", "(WEIGHT *\n            double(value))", True),
        ("WEIGHT = 20", "WEIGHT = 2_0", True),
        ("WEIGHT = 20\n", 'WEIGHT = 20\n"""What the value is multiplied by."""\n', True),
        ("import Progress, logger", "import logger, Progress, log_to", True),
        ("    from bright_pipeline.kinds import Kind\n", "    from bright_pipeline.other_kinds import Kind\n", True),
        ("WEIGHT = 20", "WEIGHT = 21", False),
        ("* double", "+ double", False),
        ("WEIGHT = 20", "WEIGHT = 20.0", False),
        ("scale: Annotated[float, typer.Option(min=0", "scale: Annotated[float, typer.Option(min=1", False),
        ("= 2.0)", "= 3.0)", False),
        ("round(value)", "torch.rand(1)", False),
        ("raise InputError(", "raise ValueError(", False),
        ("from bright_pipeline.helpers import", "from bright_pipeline.kinds import", False),
    ],
)
def test_an_edit_changes_the_digest_if_it_can_change_a_number(package: Path, old: str, new: str, same: bool) -> None:
    before = digest(package)
    replace(package / "losses.py", old, new)
    assert (digest(package) == before) == same


def names(package: Path, root: str = "bright_pipeline.losses") -> list[str]:
    return [module.name for module in Code(package.parent).closure([root])]


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_modules_imported_anywhere_and_their_packages_count_unless_they_are_excluded(package: Path) -> None:
    before = digest(package)
    (package / "base" / "progress.py").write_text("from bright_pipeline.kinds import Kind\nBAR = 2\n")
    assert digest(package) == before
    assert names(package) == ["bright_pipeline", "bright_pipeline.helpers", "bright_pipeline.losses"]
    replace(package / "helpers.py", "def", "from bright_pipeline.base import progress, seeds\n\ndef")
    assert names(package)[1:3] == ["bright_pipeline.base", "bright_pipeline.base.seeds"]
    write_modules(package, {
        "deep/__init__": "",
        "deep/two": "from . import three\nfrom ..kinds import Kind\nTWO = 2\n",
        "deep/three": "",
        "helpers": "def double(value):\n    from bright_pipeline.deep import two\n    return two.TWO\n"
    })  # fmt: skip
    reached = ("deep", "deep.three", "deep.two", "helpers", "kinds", "losses")
    assert names(package) == ["bright_pipeline", *(f"bright_pipeline.{name}" for name in reached)]
    before = digest(package)
    (package / "deep" / "__init__.py").write_text("ONE = 1\n")
    assert digest(package) != before


@pytest.mark.parametrize(
    ("old", "new"), [("Field(3, ", "Field(4, "), ("return value", "return abs(value)"), ("2 * self", "3 * self")]
)
def test_every_edit_of_a_familys_class_changes_the_digest(package: Path, old: str, new: str) -> None:
    """Whatever its base class and the names of its methods."""
    before = digest(package, "bright_pipeline.families.mine")
    replace(package / "families" / "mine.py", old, new)
    assert digest(package, "bright_pipeline.families.mine") != before


def test_an_outside_familys_package_counts(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    write_modules(tmp_path, {
        "mine/__init__": "raise ImportError('planning imports no family here')\n",
        "mine/family": "from .layers import Layer\nfrom . import counts\nimport stranger, bright_pipeline.helpers\n",
        "mine/layers": "from mine.parts.one import ONE\nLayer = 1\n",
        "mine/counts": "",
        "mine/parts/one": "ONE = 1\n",  # a package without __init__
        "stranger/__init__": "",
        "single_file_family": "WIDTH = 1\n"
    })  # fmt: skip
    own = ["mine", "mine.counts", "mine.family", "mine.layers", "mine.parts.one"]
    assert names(package, "mine.family") == ["bright_pipeline", "bright_pipeline.helpers", *own]
    before = digest(package, "mine.family")
    replace(tmp_path / "mine" / "layers.py", "Layer = 1", "Layer = 2")
    assert digest(package, "mine.family") != before
    assert names(package, "single_file_family") == ["single_file_family"]


def test_a_missing_or_broken_module_is_one_line(package: Path) -> None:
    with pytest.raises(InputError, match=r"^bright_pipeline\.nowhere: no such module"):
        digest(package, "bright_pipeline.nowhere")
    (package / "helpers.py").write_text("def double(:\n")
    with pytest.raises(InputError, match=r"helpers\.py, line 1: "):
        digest(package)


def test_it_is_the_same_in_every_version_of_python(package: Path) -> None:
    """Syntax trees differ between versions, digests must not: colleagues share results."""
    assert digest(package)[:16] == "eac36eb2874229d9"


OUTPUT = Path("results/store/toys/toy-0123456789ab/out")
STAGE = f"""
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.command import LogOption, run_stage
from toy.number import NUMBER

def stage(log: LogOption = None) -> None:
    write_text("{OUTPUT}", str(NUMBER))

if __name__ == "__main__":
    run_stage(stage)
"""


@pytest.fixture
def folder(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a package `toy` that has a stage; the project is this checkout."""
    write_modules(own_folder / "toy", {"stage": STAGE, "number": "NUMBER = 1\n", "__init__": ""})
    monkeypatch.setenv("PYTHONPATH", f"{own_folder}{os.pathsep}{ROOT}")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    return own_folder


@pytest.fixture
def code(folder: Path) -> str:
    """The stage's `--code` before any edit."""
    script = "from bright_pipeline.engine.code import expected_code; print(expected_code(('toy.stage',)))"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()


LAUNCHER = ("bright_pipeline.engine.launch", "--gpus", "0", "--log", "stage.log", "--")


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-m", *words], text=True, stderr=subprocess.PIPE)


@pytest.mark.parametrize("launcher", [(), LAUNCHER])
def test_planned_code_runs_and_other_code_does_not_start(folder: Path, code: str, launcher: tuple[str, ...]) -> None:
    assert start(*launcher, "toy.stage", "--code", code).wait(30) == 0
    assert OUTPUT.read_text() == "1"
    assert start(*launcher, "toy.stage").wait(30) == 0
    OUTPUT.unlink()
    (folder / "toy" / "number.py").write_text("NUMBER = 2\n")
    refused = start(*launcher, "toy.stage", "--code", code, *(() if launcher else ("--log", "stage.log")))
    line = refused.communicate(timeout=30)[1]
    assert (refused.returncode, line.count("\n"), OUTPUT.exists()) == (2, 1, False)
    for words in ("error: stage: ", code.partition("=")[2], str(ROOT / "bright_pipeline"), "start snakemake again"):
        assert words in line
    assert "start snakemake again" in Path("stage.log").read_text()
