"""Files of the repository that other programs read: citation, actions, issue forms, hooks, the documentation."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from pipeline.config.root import read_config

ROOT = Path(__file__).parents[2]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
SCHEMAS = {
    ROOT / "CITATION.cff": "citation-file-format",
    **dict.fromkeys(ACTIONS, "github-workflows"),
    **dict.fromkeys(FORMS, "github-issue-forms"),
}


@pytest.mark.parametrize("path", SCHEMAS, ids=lambda path: path.name)
def test_a_file_has_its_schema(path: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{SCHEMAS[path]}", str(path)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_the_pages_build_without_warnings(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-c", "docs", ".", str(tmp_path / "html")]
    done = subprocess.run([*command, "-d", str(tmp_path / "doctrees")], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pages = {path.stem for path in (tmp_path / "html" / "docs").glob("*.html")}
    assert pages == {path.stem for path in (ROOT / "docs").glob("*.md")} | {"contents"}


def test_the_citation_has_the_packages_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = [project["name"], project["version"], project["license"]["text"]]
    assert [cited[key] for key in ("title", "version", "license")] == told


def test_actions_and_hooks_call_targets_of_the_makefile() -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    jobs = [job for path in ACTIONS for job in yaml.safe_load(path.read_text())["jobs"].values()]
    called = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    called += [hook["entry"] for repository in hooks for hook in repository["hooks"]]
    assert sorted(called) == ["make check", "make lint", "make test"]
    assert {line.removeprefix("make ") for line in called} <= targets


def test_the_workflow_catalog_finds_what_standardized_usage_needs() -> None:
    """By its page on adding workflows: the entry, the config's reference, the usage; two words of the README."""
    assert (ROOT / "workflow" / "Snakefile").is_file()
    assert (ROOT / "config" / "README.md").is_file()
    assert list((ROOT / "workflow" / "rules").glob("*.smk"))
    assert {"snakemake", "workflow"} <= set((ROOT / "README.md").read_text().lower().split())
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    flags = usage["mandatory-flags"]["flags"].split()
    default = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())
    assert flags == ["--rerun-triggers", *default["rerun-triggers"]], "without the profile the same rule holds"
    assert usage["software-stack-deployment"].keys() >= {"conda", "apptainer", "apptainer+conda"}
    config = read_config(ROOT / ".test" / "config" / "config.yaml")
    assert all(one.source.kind == "embedded" for one in config.datasets.values()), "it needs no images"
