"""The locks of the environments: of this pyproject.toml, whole, and what is installed here."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distributions, files, packages_distributions
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
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
        ('"tqdm>=4.70"', '"tqdm>=4.69"'),
        ('"hypothesis>=6.170"', '"hypothesis>=6.1"'),
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
        "test.txt, run.txt, torch.txt in environments: does not match pyproject.toml; run `make lock`\n"
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


def extras() -> set[str]:
    """The packages of extras for users, such as the reader of one kind of files: a line says what to install."""
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    wanted = (Requirement(one) for extra, packages in optional.items() if extra != "test" for one in packages)
    return {canonicalize_name(one.name) for one in wanted}


def test_runs_import_nothing_that_only_tests_install() -> None:
    run, brought_by = locked("run").keys() | BUILDS | extras(), packages_distributions()
    for module in imported() - sys.stdlib_module_names - {"pipeline", BROUGHT_FOR_GPUS}:
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


def test_floors_are_versions_that_the_tests_run_with() -> None:
    """A floor below the lock's minor version is one that nothing here has tried; PyTorch's range is for its builds."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = locked("test")
    for told in [*project["dependencies"], *project["optional-dependencies"]["test"]]:
        needed = Requirement(told)
        floors = [Version(one.version) for one in needed.specifier if one.operator == ">="]
        if needed.name not in BUILDS and floors:
            tried = Version(versions[canonicalize_name(needed.name)])
            assert floors[0].release[:2] == tried.release[:2], told


def test_no_dependency_is_named_twice() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    for names in ([canonicalize_name(Requirement(told).name) for told in one] for one in lists):
        assert len(names) == len(set(names))


def test_clean_fid_still_holds_scipy_back() -> None:
    """It calls sqrtm with an argument that scipy 1.18 has no more. Where this fails, it has let go: take `<1.18` from
    scipy in pyproject.toml, and this test with it."""
    (source,) = (file for file in files("clean-fid") or [] if file.name == "fid.py")
    assert re.search(r"sqrtm\([^\n]*disp=", source.read_text())
    assert '"scipy>=1.17,<1.18"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
