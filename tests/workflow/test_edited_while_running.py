"""A digest belongs to the code that runs: who edits it during a run gets a line, and no result of the other code."""

import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

EDITED = "pipeline/evaluation/metrics.py"


def payloads(workflow: Workflow, section: str) -> dict[str, bytes]:
    """The files of a section of the store, by path."""
    folder = workflow.folder / "results" / "store" / section
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def wait_for(folder: Path, pattern: str) -> None:
    """Wait until a job of this kind has begun."""
    end = time.monotonic() + 120
    while not any(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.05)


def test_jobs_whose_code_was_edited_since_the_run_began_end_with_one_line(changeable: Workflow) -> None:
    results = changeable.folder / "results"
    changeable.run("-n")  # this checkout's digests are those of the run that was copied
    before = payloads(changeable, "evaluations")
    for section in ("features", "evaluations"):
        shutil.rmtree(results / "store" / section)
    for folder in changeable.folders("tables"):
        if folder.name.startswith("table5-"):
            shutil.rmtree(folder)
    shutil.rmtree(results / "logs")
    code = changeable.checkout / EDITED
    right = code.read_text()

    run = subprocess.Popen(
        changeable.local_command("table5"),
        cwd=changeable.folder,
        env=changeable.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_for(results / "logs", "extract_features-*.log")
    code.write_text(right + "\n\nANOTHER_NUMBER = 1\n")
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1
    lines = re.findall(r"^error: .*score_features.*$", said, re.MULTILINE)
    assert lines, said[-3000:]
    assert "snakemake" in lines[0]
    assert not (results / "store" / "evaluations").exists() or not payloads(changeable, "evaluations")
    assert payloads(changeable, "features"), "what was finished before stays"

    code.write_text(right)
    assert changeable.run("table5").jobs["score_features"] == 3
    after = payloads(changeable, "evaluations")
    assert after == {path: before[path] for path in after}


def test_the_installed_package_does_not_run_under_another_checkouts_digests(changeable: Workflow) -> None:
    code = changeable.checkout / EDITED
    code.write_text(code.read_text() + "\n\nANOTHER_NUMBER = 1\n")
    for folder in changeable.folders("tables"):
        if folder.name.startswith("table5-"):
            shutil.rmtree(folder)
    elsewhere = Path(__file__).parents[2]
    said = changeable.run("table5", expect=1, PYTHONPATH=str(elsewhere)).text
    assert re.search(rf"^error: .*score_features.*{re.escape(str(elsewhere))}.*$", said, re.MULTILINE), said[-3000:]
