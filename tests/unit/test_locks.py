"""The locks of the environments: of this pyproject.toml, whole, and what is installed here."""

import ast
import re
import shutil
import subprocess
import sys
from importlib.metadata import distributions, packages_distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "workflow" / "environments"
BUILDS = {"torch", "torchvision"}


def locked(name: str, here: bool = True) -> dict[str, str]:
    """Versions by name, of the packages that this system and Python take, or of all."""
    lines = re.findall(r"^([\w.-]+)==([^ \\\n]+)(?: ; ([^\\\n]+))?", (LOCKS / f"{name}.txt").read_text(), re.MULTILINE)
    return {
        canonicalize_name(package): version
        for package, version, marker in lines
        if not (here and marker) or Marker(marker).evaluate()
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the check reads."""
    shutil.copytree(LOCKS, tmp_path / "workflow" / "environments")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def check(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, checkout / "workflow" / "environments" / "lock.py", "--check"]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_locks_are_of_this_pyproject(checkout: Path) -> None:
    assert check(checkout).returncode == 0


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"tqdm"', '"tqdm>=4"'),
        ('"hypothesis>=6"', '"hypothesis>=6.1"'),
        ('requires-python = ">=3.11"', 'requires-python = ">=3.12"'),
        ("executor-plugin-slurm>=2.7.1", "executor-plugin-slurm>=2.8"),
    ],
)
def test_a_changed_pyproject_without_new_locks_is_one_line(checkout: Path, old: str, new: str) -> None:
    path = checkout / "pyproject.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    ended = check(checkout)
    assert ended.returncode == 1
    assert ended.stderr == (
        "test.txt, run.txt, torch.txt in environments: not of what pyproject.toml asks now; run `make lock`\n"
    )


def test_other_changes_of_pyproject_need_no_new_locks(checkout: Path) -> None:
    path = checkout / "pyproject.toml"
    path.write_text(path.read_text().replace("line-length = 120", "line-length = 100"))
    assert check(checkout).returncode == 0


def test_a_missing_lock_is_named(checkout: Path) -> None:
    (checkout / "workflow" / "environments" / "run.txt").unlink()
    assert check(checkout).stderr.startswith("run.txt in environments: ")


def test_the_environment_of_tests_has_what_runs_have() -> None:
    run, test = locked("run", here=False), locked("test", here=False)
    assert run.items() < test.items()
    assert not BUILDS & test.keys()
    assert locked("torch").keys() == BUILDS


def test_runs_import_nothing_that_only_tests_install() -> None:
    run, brought_by = locked("run").keys() | BUILDS, packages_distributions()
    for module in imported() - sys.stdlib_module_names - {"pipeline"}:
        assert any(canonicalize_name(name) in run for name in brought_by[module]), module


def imported() -> set[str]:
    """The packages that the stages and the workflow import anywhere."""
    found = set()
    for path in (ROOT / "pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found |= {name.partition(".")[0] for name in names}
    return found


def test_every_package_but_pytorch_has_a_hash() -> None:
    for name in ("run", "test"):
        blocks = re.split(r"^(?=[\w])", (LOCKS / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]
        assert len(blocks) == len(locked(name, here=False))
        assert all("--hash=sha256:" in block for block in blocks)


def test_the_locks_hold_whatever_their_packages_need_here() -> None:
    """No requirement of a package that is installed is left to chance: PyTorch's own aside, whose builds bring it."""
    test = locked("test")
    installed = {canonicalize_name(one.name): one for one in distributions()}
    for name in test.keys() & installed.keys():
        for told in installed[name].requires or []:
            needed = Requirement(told)
            if needed.marker is None or needed.marker.evaluate({"extra": ""}):
                assert canonicalize_name(needed.name) in test.keys() | BUILDS, f"{name} needs {needed}"
