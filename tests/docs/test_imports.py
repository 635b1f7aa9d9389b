"""The imports of a stage: nothing slow for its help, and at work only the libraries that it uses.

Imports of the package's own modules are read from their source, also inside functions. Imports by libraries are
observed in processes that import them.
"""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import bright_pipeline
import pytest
import yaml
from bright_pipeline.commands.__main__ import commands
from bright_pipeline.engine.canonical import running_statements
from bright_pipeline.engine.code import PROJECT
from bright_pipeline.engine.jobs import planned
from bright_pipeline.families import AUTOENCODERS, GENERATORS, find_family
from bright_pipeline.stages import all_stages
from finished_plan import tiny_plan, tiny_values

ROOT = Path(__file__).parents[2]
FAMILIES = ROOT / "tests" / "workflow" / "families.yaml"

WITHOUT_TORCH = {*("prepare_dataset", "take_snapshot", "make_study", "make_table", "make_figure", "make_report")}
TRAININGS = {name for name, stage in all_stages().items() if stage.is_training}
LPIPS = {"train_autoencoder", "reconstruct", "measure_codes", "nearest_neighbours"}
USERS = {
    "torch": all_stages().keys() - WITHOUT_TORCH,
    "diffusers": {"train_diffusion", "train_generator", "generate", "explore_codes", "import_weights"},
    "accelerate": TRAININGS,
    "lpips": LPIPS,
    "torchvision": {*TRAININGS, *LPIPS, "extract_features"},
    "torch_fidelity": {"extract_features"},
    "cleanfid": {"extract_features"},
    "torchmetrics": set(),
    "matplotlib": {"make_figure", "make_report"},
}
"""The stages that may import a library, for any family, feature space or kind of samples."""

ASKED_FOR = {("bright_pipeline.data.archive", "torch")}
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


def run(program: str, *arguments: str, standard_input: str = "", **environment: str) -> str:
    """The output of a process."""
    command = [sys.executable, "-W", "ignore", *(["-c", program] if program else []), *arguments]
    streams, variables = {"capture_output": True, "input": standard_input}, os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=variables, text=True, check=False, **streams)
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
    assert not helps & (USERS.keys() | {"pandas", "jinja2"})
    assert {"matplotlib", "pandas"} <= works and "torch" not in works


@pytest.mark.parametrize("library", USERS)
def test_a_library_is_imported_by_the_stages_that_use_it(library: str, roots: dict[str, set[str]]) -> None:
    def uses(own: set[str]) -> bool:
        return any(f"{name}.".startswith(f"{library}.") for name in closure(own))

    assert {stage for stage, own in roots.items() if uses(own)} == USERS[library]


def test_no_module_imports_the_command_of_a_stage() -> None:
    commands = {stage.command for stage in all_stages().values()}
    files = {
        path: path.relative_to(ROOT).with_suffix("").parts
        for path in (ROOT / "pipeline" / "bright_pipeline").rglob("*.py")
    }
    modules = {".".join(parts).removesuffix(".__init__") for parts in files.values()}
    assert not {name for name in modules if PROJECT.file(name) and imports(name) & commands}


def test_planning_imports_no_torch() -> None:
    program = """
import sys; from pathlib import Path
from typing import Any
from bright_pipeline.commands import estimate, status
from bright_pipeline.config.root import read_config
from bright_pipeline.plan import checks, publish
from bright_pipeline.engine.jobs import planned
from bright_pipeline.stages.common import Jobs
print(len(Jobs(read_config(Path("config/paper.yaml")))(planned)), {"torch", "diffusers"} & sys.modules.keys())
"""
    count, loaded = run(program).split(maxsplit=1)
    assert int(count) > 50 and loaded.strip() == "set()"


def test_the_public_package_changes_no_variable_and_loads_names_when_they_are_used() -> None:
    program = """
import os, sys
os.environ.pop("OPENBLAS_NUM_THREADS", None)
before = dict(os.environ)
import bright_pipeline
early = {"torch", "numpy", "pydantic"} & sys.modules.keys()
import torch
found = [getattr(bright_pipeline, name).__name__ for name in bright_pipeline.__all__]
print(early or "", os.environ != before or "", *found)
"""
    found = run(program).split()
    assert {"load_autoencoder", "load_generator", "sample", "Bright", "HashTableGroups", "evaluate"} <= set(found)
    with pytest.raises(AttributeError, match=r"no attribute 'pipeline'; it has Autoencoder, Bright"):
        _ = bright_pipeline.pipeline


def test_a_decoder_and_its_gradients_need_torch_alone(tiny_autoencoder: Any, tmp_path: Path) -> None:
    program = """
import json, sys
from pathlib import Path
from typing import Any
import torch
from bright_pipeline import Autoencoder, Bright, HashTableGroups, HashTables, load_autoencoder
from bright_pipeline.models.checkpoints import save_autoencoder
settings = json.load(sys.stdin)
del settings["dataset"]
network = Bright(Autoencoder(**settings), resolution=32, channels=3)
network(torch.rand(2, 3, 32, 32) * 2 - 1).mean().backward()
tables = HashTableGroups(HashTables(resolutions=2, entries_log2=8), groups=2, feature_size=8)
tables(torch.rand(2, 2, 8, 8)).mean().backward()
save_autoencoder(Path(sys.argv[1]), network, network.settings, 32, 3)
model = load_autoencoder(sys.argv[1])
picture, = model.decode(model.encode(torch.zeros(1, 3, 32, 32, dtype=torch.uint8)))
print(picture.size, all(one.grad is not None for one in (*network.parameters(), *tables.parameters())))
print(*{"diffusers", "scipy", "torchvision", "accelerate", "lpips", "pandas", "torch._dynamo"} & sys.modules.keys())
"""
    printed = run(program, str(tmp_path / "model.safetensors"), standard_input=json.dumps(tiny_autoencoder()))
    assert printed.splitlines() == ["(32, 32) True", ""]


@pytest.mark.parametrize(
    "arguments",
    [("-m", "bright_pipeline.dump_codes", "--help"), ("-m", "bright_pipeline.commands", "estimate", "--help")],
)
def test_numpy_has_one_thread_in_a_stage_and_a_command(arguments: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("""
import os, sys
class Printer:
    def find_spec(name, *_):
        if name == "numpy":
            print("numpy", os.environ["OPENBLAS_NUM_THREADS"])
sys.meta_path.insert(0, Printer)
os.environ.pop("OPENBLAS_NUM_THREADS", None)
""")
    assert run("", *arguments, PYTHONPATH=str(tmp_path)).startswith("numpy 1\n")


def test_windows_gets_one_line_that_recommends_its_linux_subsystem() -> None:
    program = """
import importlib, sys
sys.modules["fcntl"] = None  # as on Windows
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except SystemExit as error:
        print(error)
"""
    modules = ["bright_pipeline.engine.launch", *commands().values()]
    lines = run(program, standard_input=" ".join(modules)).splitlines()
    said = "error: Windows is not supported; run this in WSL, its Linux subsystem: `wsl --install`"
    assert lines == [said] * len(modules)


def test_profiles_keep_the_rerun_rule_of_the_default_one() -> None:
    rule = ("rerun-triggers", "ignore-incomplete", "rerun-incomplete")
    profiles = sorted((ROOT / "profiles").glob("*/config.yaml"))
    default, *others = (yaml.safe_load(profile.read_text(encoding="utf-8")) for profile in profiles)
    assert all({key: other[key] for key in rule} == {key: default[key] for key in rule} for other in others)
