"""The layout of the package, and what planning imports."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.stages import all_stages

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "pipeline"


def test_the_package_shows_folders_and_the_stages_commands_and_nothing_else() -> None:
    files = {path.stem for path in PACKAGE.iterdir() if path.is_file()}
    assert files == {"__init__", *all_stages()}


def test_no_module_imports_a_stages_command() -> None:
    commands = {f"pipeline.{stage}" for stage in all_stages()}
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        assert not imported & commands, path


@pytest.mark.parametrize(
    "module", ["plan.publish", "plan.checks", "plan.ending", "commands.status", "commands.estimate"]
)
def test_planning_imports_no_torch(module: str) -> None:
    code = f"import sys, pipeline.{module}; print('torch' in sys.modules, 'diffusers' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False False"


def test_a_config_is_planned_without_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from pipeline.config.root import read_config;"
        " from pipeline.plan.shards import planned; from pipeline.stages.common import Jobs;"
        " jobs = Jobs(read_config(Path('config/paper.yaml')));"
        " digests = {job.digest for job in jobs(planned).values()};"
        " print(len(digests), 'torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    count, torch = said.split()
    assert int(count) > 50
    assert torch == "False"


def test_snakemake_stays_within_the_versions_that_it_was_tested_with() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert '"snakemake>=9.27,<10"' in text


def test_profiles_keep_the_rerun_rule_of_the_default_one() -> None:
    rule = ("rerun-triggers", "ignore-incomplete", "rerun-incomplete")
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text(encoding="utf-8"))
    for profile in (ROOT / "workflow/profiles").glob("*/config.yaml"):
        values = yaml.safe_load(profile.read_text(encoding="utf-8"))
        assert {key: values[key] for key in rule} == {key: default[key] for key in rule}, profile
