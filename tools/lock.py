"""Lock files: the version and hashes of every package of an environment, resolved from pyproject.toml.

    python tools/lock.py [--upgrade]     # `make lock`: needs uv and the package index
    python tools/lock.py --check         # `make lint`: whether they match pyproject.toml and each Python

run.txt is for runs, test.txt also for tests. Both have one version of each package, for every system and Python version
that pyproject.toml allows. torch.txt has PyTorch's builds of the package index, with their CUDA libraries,
torch-cpu.txt those for the CPU of PyTorch's own index. Without --upgrade, versions stay as they are if pyproject.toml
still allows them. uv ignores the upper bounds that packages set for Python, and pip does not: the check reads them from
the packages that are installed here.
"""

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
LOCKS, PYPROJECT = ROOT / "workflow/environments", ROOT / "pyproject.toml"
PROJECT = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
PYTHONS = re.findall(r"Python :: (3\.\d+)", " ".join(PROJECT["classifiers"]))
RUN = ("workflow", "metrics", "figures", "dvc", "trackers", "slurm")  # extras
ENVIRONMENTS = {"test": (*RUN, "test"), "run": RUN}  # the largest one determines the versions
BUILDS = ("torch", "torchvision")
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA = ("nvidia-", "cuda-", "triton")  # how the names of CUDA libraries begin, which PyTorch's builds bring
MARK = "# of pyproject.toml's dependencies "
HEADER = f"# Made by `make lock`; change pyproject.toml, not this file.\n{MARK}"
PACKAGE = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^ \\]+)")


def requirements_digest() -> str:
    """A digest of the requirements of these environments in pyproject.toml."""
    extras = {name: PROJECT["optional-dependencies"][name] for names in ENVIRONMENTS.values() for name in names}
    requirements = json.dumps([PROJECT["requires-python"], PROJECT["dependencies"], extras], sort_keys=True)
    return hashlib.sha256(requirements.encode()).hexdigest()[:16]


def resolved(name: str, upgrade: bool) -> dict[str, str]:
    """uv's lines for each package of an environment, by name."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.txt")
        known = [file.read_text() for file in (LOCKS / f"{name}.txt", LOCKS / "torch.txt") if file.exists()]
        found.write_text("".join(known))  # the versions that uv keeps
        extras = [word for extra in ENVIRONMENTS[name] for word in ("--extra", extra)]
        oldest = PROJECT["requires-python"].removeprefix(">=")
        how = ["--universal", "--generate-hashes", "--fork-strategy", "fewest", "--annotation-style", "line"]
        command = ["uv", "pip", "compile", str(PYPROJECT), *extras, *how, "--no-header", "--python-version", oldest]
        decided = [LOCKS / "test.txt", LOCKS / "torch.txt"] if name != "test" else []
        constraints = [word for file in decided for word in ("--constraint", str(file))]
        upgrades = ["--upgrade"] if upgrade else []
        subprocess.run([*command, *constraints, *upgrades, "--quiet", "--output-file", str(found)], check=True)
        blocks = re.split(r"^(?=[A-Za-z0-9])", found.read_text(), flags=re.MULTILINE)
    return {match["name"]: block for block in blocks if (match := PACKAGE.match(block))}


def builds_for_the_cpu(versions: dict[str, str]) -> list[str]:
    """uv's lines for PyTorch's builds for the CPU on Linux, from their own index."""
    wanted = "".join(f"{name}=={version}+cpu\n" for name, version in versions.items())
    how = ["--universal", "--no-deps", "--generate-hashes", "--no-header", "--no-annotate"]
    command = ["uv", "pip", "compile", "-", *how, "--default-index", CPU_INDEX, "--quiet"]
    return [subprocess.run(command, check=True, input=wanted, capture_output=True, text=True).stdout]


def write(name: str, blocks: list[str]) -> None:
    (LOCKS / f"{name}.txt").write_text(f"{HEADER}{requirements_digest()}\n" + "".join(blocks), encoding="utf-8")


def lock(upgrade: bool) -> None:
    """Write all lock files."""
    for name in ENVIRONMENTS:
        packages = resolved(name, upgrade)
        brought = [one for one in packages if one.startswith(CUDA) and PYPROJECT.name not in packages[one]]
        builds = [*BUILDS, *brought]
        write(name, [packages[package] for package in packages if package not in builds])
        write("torch", [packages[package] for package in builds])  # the last one's have all that they bring
    versions = {name: PACKAGE.match(packages[name])["version"] for name in BUILDS}
    try:
        write("torch-cpu", builds_for_the_cpu(versions))
    except subprocess.CalledProcessError as error:
        sys.exit(f"torch-cpu.txt stays as it was: {CPU_INDEX}: {error.stderr.strip().splitlines()[-1]}")


def refusals(file: Path) -> list[str]:
    """A line for each package of a lock that one of pyproject.toml's Pythons cannot install."""
    lines = [line.partition(" \\")[0] for line in file.read_text().splitlines() if PACKAGE.match(line)]
    found = []
    for requirement in map(Requirement, lines):
        try:
            allowed = Requirement(f"python{metadata.metadata(requirement.name)['Requires-Python'] or ''}").specifier
        except metadata.PackageNotFoundError:  # of another system
            continue
        for python in PYTHONS:
            here = {"python_version": python, "python_full_version": f"{python}.0"}
            if (requirement.marker is None or requirement.marker.evaluate(here)) and not allowed.contains(
                f"{python}.99"
            ):
                found.append(
                    f"{file.name}: {requirement} cannot be installed on Python {python}, it requires {allowed}"
                )
    return found


def check() -> None:
    """End with an error if a lock does not match pyproject.toml, or one of its Pythons cannot install it."""
    files = [LOCKS / f"{name}.txt" for name in (*ENVIRONMENTS, "torch", "torch-cpu")]
    mark = f"{MARK}{requirements_digest()}\n"
    if found := [file.name for file in files if not file.exists() or mark not in file.read_text()]:
        sys.exit(f"{', '.join(found)} in {LOCKS.name}: does not match pyproject.toml; run `make lock`")
    if refused := [line for file in files for line in refusals(file)]:
        sys.exit("\n".join(refused))


if __name__ == "__main__":
    if sys.argv[1:] == ["--check"]:
        check()
    else:
        lock(upgrade=sys.argv[1:] == ["--upgrade"])
