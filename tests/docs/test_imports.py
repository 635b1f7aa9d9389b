"""What a start loads: a stage's help no library, a plan no torch, the public package only what is used.

Which library each stage may import is in pyproject.toml, as contracts of import-linter.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import bright_pipeline
import pytest
from bright_pipeline.commands.__main__ import commands
from bright_pipeline.stages import all_stages

ROOT = Path(__file__).parents[2]
LIBRARIES = {"torch", "diffusers", "accelerate", "lpips", "torchvision", "matplotlib", "pandas", "jinja2"}


def run(program: str, *arguments: str, standard_input: str = "", **environment: str) -> str:
    """The output of a process."""
    command = [sys.executable, "-W", "ignore", *(["-c", program] if program else []), *arguments]
    streams, variables = {"capture_output": True, "input": standard_input}, os.environ | environment
    done = subprocess.run(command, cwd=ROOT, env=variables, text=True, check=False, **streams)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_help_of_a_stage_loads_no_library() -> None:
    program = """
import importlib, sys
for name in sys.stdin.read().split():
    importlib.import_module(name)
print(*sys.modules)
"""
    modules = " ".join(stage.command for stage in all_stages().values())
    assert not set(run(program, standard_input=modules).split()) & LIBRARIES


def test_every_folder_is_a_layer_and_nothing_imports_the_command_of_a_stage() -> None:
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layers = {name.strip() for layer in contract["layers"] for name in layer.split("|")}
    package = ROOT / "pipeline" / "bright_pipeline"
    assert {path.parent.name for path in package.glob("*/__init__.py")} == layers
    assert {path.stem for path in package.glob("[a-z]*.py")} == all_stages().keys()
    imports = re.compile(r"^\s*(?:from|import) bright_pipeline(?:\.| import )(\w+)", re.MULTILINE)
    for path in package.rglob("*.py"):
        assert not all_stages().keys() & set(imports.findall(path.read_text(encoding="utf-8"))), path


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
    [
        ("-m", "bright_pipeline.dump_codes", "--help"),
        ("-m", "bright_pipeline.generate", "--help"),
        ("-m", "bright_pipeline.commands", "estimate", "--help"),
    ],
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
    search = os.pathsep.join([str(tmp_path), str(ROOT / "pipeline")])
    assert run("", *arguments, PYTHONPATH=search).startswith("numpy 1\n")


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
