"""A digest belongs to the code that runs: an edit during a run ends the job with one line and without a result."""

import re
import subprocess
import time
from pathlib import Path

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

EDITED = "pipeline/evaluation/metrics.py"
TABLES = "results/store/tables/table5-*"


def test_jobs_whose_code_was_edited_since_the_run_began_end_with_one_line(changeable: Workflow) -> None:
    changeable.run("-n")  # this checkout's digests are those of the run that was copied
    before = changeable.files("results/store/evaluations")
    changeable.remove("results/store/features", "results/store/evaluations", TABLES, "results/logs")
    code = changeable.checkout / EDITED
    right = code.read_text()

    run = changeable.start("table5", real=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    end = time.monotonic() + 120
    while not any((changeable.folder / "results/logs").glob("extract_features-*.log")):
        assert time.monotonic() < end, "no job began"
        time.sleep(0.05)
    changeable.add_number(EDITED)
    said, _ = run.communicate(timeout=300)
    assert run.returncode == 1
    assert re.search(r"^error: .*score_features.*snakemake", said, re.MULTILINE), said[-3000:]
    assert not changeable.files("results/store/evaluations")
    assert changeable.files("results/store/features"), "what was finished before stays"

    code.write_text(right)
    assert changeable.run("table5").jobs["score_features"] == 3
    after = changeable.files("results/store/evaluations")
    assert after == {path: before[path] for path in after}


def test_the_installed_package_does_not_run_under_another_checkouts_digests(changeable: Workflow) -> None:
    changeable.add_number(EDITED)
    changeable.remove(TABLES)
    elsewhere = str(Path(__file__).parents[2])
    said = changeable.run("table5", expect=1, PYTHONPATH=elsewhere).text
    assert re.search(rf"^error: .*score_features.*{re.escape(elsewhere)}.*$", said, re.MULTILINE), said[-3000:]
