"""The imports of a stage: nothing slow for its help, and at work only the libraries that it uses.

Imports of the package's own modules are read from their source, also inside functions. Imports by libraries are
observed in processes that import them.
"""

import ast
import json
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import pytest
import yaml
from finished_plan import tiny_plan, tiny_values

from pipeline.base.canonical import running_statements
from pipeline.base.code import PROJECT
from pipeline.families import AUTOENCODERS, GENERATORS, find_family
from pipeline.plan.shards import planned
from pipeline.stages import all_stages

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "tests" / "workflow" / "families.yaml"

WITHOUT_TORCH = {*("prepare_dataset", "take_snapshot", "make_study", "make_table", "make_figure", "make_report")}
TRAININGS = {name for name, stage in all_stages().items() if stage.is_training}
LPIPS = {"train_autoencoder", "reconstruct", "measure_codes", "nearest_neighbours"}
USERS = {
    "torch": all_stages().keys() - WITHOUT_TORCH,
    "diffusers": {"train_diffusion", "train_generator", "generate", "import_weights"},
    "accelerate": TRAININGS,
    "lpips": LPIPS,
    "torchvision": {*TRAININGS, *LPIPS, "extract_features"},
    "torch_fidelity": {"extract_features"},
    "cleanfid": {"extract_features", "score_features"},
    "torchmetrics": set(),
    "matplotlib": {"make_figure", "make_report"},
}
"""The stages that may import a library, for any family, feature space or kind of samples."""

ASKED_FOR = {("pipeline.data.archive", "torch")}
"""Imports for callers that use the library themselves: images as tensors."""


IMPORT = ast.Import | ast.ImportFrom


@cache
def imports(module: str) -> frozenset[str]:
    """The modules that a module of the package imports anywhere, except for types."""
    path = PROJECT.file(module)
    assert path is not None, module
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    nodes = [node for node in running_statements(ast.parse(path.read_bytes())) if isinstance(node, IMPORT)]
    found = {PROJECT.imported(node, alias, package) for node in nodes for alias in node.names}
    return frozenset(name for name in found if (module, name) not in ASKED_FOR)


def closure(roots: Iterable[str]) -> set[str]:
    """These modules and all that they import, directly or not, up to libraries."""
    found, waiting = set(), list(roots)
    while waiting:
        if (name := waiting.pop()) not in found:
            found.add(name)
            waiting += imports(name) if name.startswith("pipeline.") else ()
    return found


@pytest.fixture(scope="module")
def roots(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The command of each stage and the modules of its jobs' families, on a config with all families."""
    values = tiny_values()
    for section, entries in yaml.safe_load(FAMILIES.read_text(encoding="utf-8")).items():
        values[section] = values.get(section, {}) | entries
    found = {name: {stage.command} for name, stage in all_stages().items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("plan"))
        for job in tiny_plan(values)(planned).values():
            found[job.stage.name] |= set(job.code_roots)
    found["import_weights"] |= {module for name in (*AUTOENCODERS, *GENERATORS) for module in find_family(name).code}
    return found


def run(program: str, *arguments: str, standard_input: str = "") -> str:
    """The output of a process."""
    command = [sys.executable, "-W", "ignore", "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, input=standard_input)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_stages_without_torch_load_none_and_help_loads_no_library(roots: dict[str, set[str]]) -> None:
    program = """
import importlib, json, sys
for group in json.loads(sys.stdin.read()):
    for name in group:
        importlib.import_module(name)
    print(*sys.modules)
"""
    commands = sorted(stage.command for stage in all_stages().values())
    working = sorted(closure(set().union(*(roots[name] for name in WITHOUT_TORCH))))
    printed = run(program, standard_input=json.dumps([commands, working]))
    helps, works = (set(line.split()) for line in printed.splitlines())
    assert not helps & (USERS.keys() - {"matplotlib"})
    assert {"matplotlib", "pandas"} <= works and "torch" not in works


@pytest.mark.parametrize("library", USERS)
def test_a_library_is_imported_by_the_stages_that_use_it(library: str, roots: dict[str, set[str]]) -> None:
    def uses(own: set[str]) -> bool:
        return any(f"{name}.".startswith(f"{library}.") for name in closure(own))

    assert {stage for stage, own in roots.items() if uses(own)} == USERS[library]


def test_no_module_imports_the_command_of_a_stage() -> None:
    commands = {stage.command for stage in all_stages().values()}
    files = {path: path.relative_to(ROOT).with_suffix("").parts for path in (ROOT / "pipeline").rglob("*.py")}
    modules = {".".join(parts).removesuffix(".__init__") for parts in files.values()}
    assert not {name for name in modules if PROJECT.file(name) and imports(name) & commands}


def test_planning_imports_no_torch() -> None:
    program = """
import sys; from pathlib import Path
from pipeline.commands import estimate, status
from pipeline.config.root import read_config
from pipeline.plan import checks, publish
from pipeline.plan.shards import planned
from pipeline.stages.common import Jobs
print(len(Jobs(read_config(Path("config/paper.yaml")))(planned)), {"torch", "diffusers"} & sys.modules.keys())
"""
    count, loaded = run(program).split(maxsplit=1)
    assert int(count) > 50 and loaded.strip() == "set()"


def test_profiles_keep_the_rerun_rule_of_the_default_one() -> None:
    rule = ("rerun-triggers", "ignore-incomplete", "rerun-incomplete")
    profiles = sorted((ROOT / "profiles").glob("*/config.yaml"))
    default, *others = (yaml.safe_load(profile.read_text(encoding="utf-8")) for profile in profiles)
    assert all({key: other[key] for key in rule} == {key: default[key] for key in rule} for other in others)
