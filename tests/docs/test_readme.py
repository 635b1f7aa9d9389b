"""README.md, docs/ and files that other programs read: configs load; files, links and messages exist."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from bright_pipeline.config.root import load_config, read_config
from bs4 import BeautifulSoup
from documented import PAGES, ROOT, blocks
from estimates import ONE_GPU, one_gpu_table

TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}
# Messages of other programs.
FOREIGN_MESSAGES = {
    "ensurepip is not available",
    "snakemake: command not found",
    "No module named 'pipeline'",
    "FileNotFoundError",
    "CUDA out of memory",
    "Directory cannot be locked",
    "Nothing to be done",
    "MissingOutputException",
}
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
# An action is named by its commit: a tag can be moved.
PINNED = re.findall(r"uses: (\S+@[0-9a-f]{40})  # v", "".join(path.read_text() for path in ACTIONS))
SCHEMAS = {
    ROOT / "CITATION.cff": "citation-file-format",
    ROOT / ".github" / "dependabot.yml": "dependabot",
    **dict.fromkeys(ACTIONS, "github-workflows"),
    **dict.fromkeys(FORMS, "github-issue-forms"),
}


def test_the_dataset_examples_are_valid_datasets() -> None:
    examples = blocks((ROOT / "docs" / "adding-a-dataset.md").read_text(encoding="utf-8"), "yaml")
    assert len(examples) == 2
    for example in examples:
        assert load_config({"run": "x", "autoencoders": {}} | yaml.safe_load(example)).datasets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_relative_links_and_named_files_exist(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXTS[page])
    assert [link for link in links if "://" not in link and not (page.parent / link).exists()] == []
    quoted = re.findall(r"`((?:pipeline|config|workflow|docs|tests|profiles)/[^`\s]*)`", TEXTS[page])
    assert [path for path in quoted if not (ROOT / path).exists()] == []


@pytest.mark.slow
def test_estimates_of_the_pages_are_those_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one GPU; `make site` compares those of the paper's config too, which takes minutes."""
    monkeypatch.chdir(tmp_path)
    page = ONE_GPU.read_text(encoding="utf-8")
    assert one_gpu_table(page) in page


def test_messages_of_the_troubleshooting_page_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| ") and "---" not in line]
    fragments = {
        part.strip(" `()")
        for cell in cells
        for message in re.findall(r"`([^`]+)`", cell)
        if message not in FOREIGN_MESSAGES
        for part in re.split(r"\.\.\.|NAME|FILE|`", message)
    }
    # All string literals of the package without their fields, and the text of the Makefile and the rules.
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "Makefile", *(ROOT / "workflow").rglob("*.smk"))]
    for path in (ROOT / "pipeline" / "bright_pipeline").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\x1f" for part in node.values]
                texts.append("".join(str(part) for part in parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                texts.append(node.value)
    told = "\n".join(texts)
    assert sorted(part for part in fragments if len(part) > 3 and part not in told) == []


def test_report_captions_are_those_that_rules_name() -> None:
    rules_text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    named = set(re.findall(r"report/(\w+\.rst)", rules_text))
    assert named == {path.name for path in (ROOT / "workflow" / "report").glob("*.rst")}


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
    site = BeautifulSoup((tmp_path / "html" / "docs" / "contents.html").read_text(encoding="utf-8"), "html.parser")
    listed = [link["href"] for link in site.select(".sidebar-tree a.reference.internal")]
    index = re.findall(r"^- \[.+?\]\((.+?)\.md\)", TEXTS[ROOT / "docs" / "index.md"], re.MULTILINE)
    assert listed == [f"{page}.html" for page in index] and len(listed) <= 25
    assert (tmp_path / "html" / "docs" / site.find("img")["src"]).exists()


def test_the_citation_has_the_packages_version_and_licence() -> None:
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    told = [project["name"], project["version"], project["license"]["text"]]
    assert [cited[key] for key in ("title", "version", "license")] == told


def test_actions_and_hooks_call_targets_of_the_makefile() -> None:
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    jobs = [job for path in ACTIONS for job in yaml.safe_load(path.read_text())["jobs"].values()]
    called = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    called = [re.sub(r"^docker run .* tests (make \w+) VENV=/venv$", r"\1", line) for line in called]
    assert {step["uses"] for job in jobs for step in job["steps"] if "uses" in step} <= set(PINNED)
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    called += [hook["entry"] for repository in hooks for hook in repository["hooks"]]
    assert {"make check", "make demo", "make lint", "make test"} <= set(called)
    assert {line.removeprefix("make ") for line in called} - targets == {"docker build --tag tests .devcontainer"}


def test_the_image_for_tests_has_every_package_that_a_test_would_install() -> None:
    image = (ROOT / ".devcontainer" / "Dockerfile").read_text()
    files = [path for folder in ("tests", "tools") for path in (ROOT / folder).rglob("*.py")]
    needed = {name for path in files for name in re.findall(r'\binstall\("[\w ]+", "([\w-]+)"', path.read_text())}
    assert needed == {"chromium", "openssh-server", "qemu-user", "slurm-wlm"}
    assert needed <= set(image.split())


def test_the_workflow_catalog_finds_what_standardized_usage_needs() -> None:
    """By its page on adding workflows."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["mandatory-flags"]["flags"] == "", "the workflow sets its rerun rule by itself"
    assert usage["software-stack-deployment"].keys() >= {"conda", "apptainer", "apptainer+conda"}
    config = read_config(ROOT / ".test" / "config" / "config.yaml")
    assert all(one.source.kind == "embedded" for one in config.datasets.values()), "it needs no images"
