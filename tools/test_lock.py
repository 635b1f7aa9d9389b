"""The locks of the environments: of this pyproject.toml, whole, and what is installed here."""

import ast
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "workflow" / "environments"
BUILDS = {"torch", "torchvision"}
BROUGHT_FOR_GPUS = "triton"  # by torch's CUDA builds, and imported on a GPU alone


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
    (tmp_path / "tools").mkdir()
    for name in ("pyproject.toml", "tools/lock.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def check(checkout: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, checkout / "tools" / "lock.py", "--check"]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("", "", 0),
        ("line-length = 120", "line-length = 100", 0),
        ('"tqdm>=4.66"', '"tqdm>=4.65"', 1),
        ('"hypothesis>=6.170"', '"hypothesis>=6.1"', 1),
        ('requires-python = ">=3.11"', 'requires-python = ">=3.12"', 1),
        ("executor-plugin-slurm>=2.7.1", "executor-plugin-slurm>=2.8", 1),
    ],
)
def test_a_change_of_what_the_locks_are_made_from_is_one_line(checkout: Path, old: str, new: str, code: int) -> None:
    path = checkout / "pyproject.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new) if old else text)
    files = "test.txt, run.txt, torch.txt, torch-cpu.txt"
    told = f"{files} in environments: does not match pyproject.toml; run `make lock`\n"
    ended = check(checkout)
    assert (ended.returncode, ended.stderr if code else told) == (code, told)


def test_a_missing_lock_is_named(checkout: Path) -> None:
    (checkout / "workflow" / "environments" / "run.txt").unlink()
    assert check(checkout).stderr.startswith("run.txt in environments: ")


def test_the_environment_of_tests_has_what_runs_have() -> None:
    run, test = locked("run", here=False), locked("test", here=False)
    assert run.items() < test.items()
    builds, cpu = locked("torch", here=False), locked("torch-cpu", here=False)
    assert not BUILDS & test.keys() and builds.keys() > BUILDS
    assert cpu == {name: f"{builds[name]}+cpu" for name in BUILDS}, "run `make lock` where PyTorch's index is reached"
    assert {name: version for name, version in builds.items() if test.get(name, version) != version} == {}


def test_runs_import_nothing_that_only_tests_install() -> None:
    """The extras for users, such as the reader of one kind of files, have an error that says what to install."""
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = (Requirement(one) for extra, packages in optional.items() if extra != "test" for one in packages)
    run, brought_by = locked("run").keys() | BUILDS, packages_distributions()
    run |= {canonicalize_name(one.name) for one in wanted}
    imported = set()
    for path in (ROOT / "pipeline" / "bright_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            imported |= {name.partition(".")[0] for name in names}
    for module in imported - sys.stdlib_module_names - {"bright_pipeline", BROUGHT_FOR_GPUS}:
        assert any(canonicalize_name(name) in run for name in brought_by[module]), module


def test_every_package_has_a_hash() -> None:
    for name in ("run", "test", "torch", "torch-cpu"):
        blocks = re.split(r"^(?=[\w])", (LOCKS / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]
        assert len(blocks) == len(locked(name, here=False))
        assert all("--hash=sha256:" in block for block in blocks)


def test_floors_are_versions_that_the_tests_run_with() -> None:
    """A floor below the lock's minor version is one that nothing here has tried. The core has wide ranges instead."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked("test")
    extras = ("workflow", "metrics", "figures", "dvc", "trackers", "test")
    for told in (told for name in extras for told in project["optional-dependencies"][name]):
        needed = Requirement(told)
        floors = [Version(one.version) for one in needed.specifier if one.operator == ">="]
        if needed.name not in BUILDS and floors:
            tried = Version(versions[canonicalize_name(needed.name)])
            assert floors[0].release[:2] == tried.release[:2], told


def test_a_package_that_ends_before_the_newest_python_is_named(tmp_path: Path, monkeypatch) -> None:
    """uv locks such a package without a word, and pip then refuses it on the newer Python."""
    lock = runpy.run_path(str(ROOT / "tools/lock.py"))
    monkeypatch.setattr(
        "importlib.metadata.metadata", lambda name: {"Requires-Python": {"old": ">=3.11,<3.13"}.get(name)}
    )
    file = tmp_path / "test.txt"
    hashes = " \\\n    --hash=sha256:00\n"
    file.write_text(f"new==2.0{hashes}old==1.0{hashes}old==0.9 ; python_version < '3.12'{hashes}")
    oldest, *others, newest = lock["PYTHONS"]
    assert (oldest, newest) == ("3.11", "3.14") and others == ["3.12", "3.13"]
    line = "test.txt: old==1.0 cannot be installed on Python {}, it requires <3.13,>=3.11"
    assert lock["refusals"](file) == [line.format("3.13"), line.format("3.14")]
