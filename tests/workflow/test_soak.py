"""The tiny workflow killed at random moments, Snakemake and all its jobs, and started again until it is done.

Every final file is then that of the tiny run, which nobody disturbed. `make soak` does it ten times, `make test` once;
SOAK_RUNS and SOAK_SEED choose other numbers.
"""

import csv
import hashlib
import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from forkserver import REAL_PROCESSES
from tiny_workflow import Workflow, empty_workflow

from pipeline.base.checksums import is_checksum

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("SOAK_RUNS", "1"))
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
KILLS = 3
LATEST_S = 30.0  # the first run may have had a busier machine than the killed ones have
TRAININGS = 3  # of the tiny config
# Made for the time of a run: logs, what jobs took, saved states, records of progress.
PASSING = {"logs", "records", "work", "networks"}


def without_speed(config: dict[str, Any]) -> None:
    """Leave out what measures speed: no two runs share that."""
    for table in ("equal_budget", "decoding"):
        config["tables"].pop(table, None)


@pytest.fixture(scope="module")
def undisturbed(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny run without what measures speed."""
    run = tiny_run.copy(tmp_path_factory.mktemp("soak") / "undisturbed")
    run.configure(without_speed)
    assert run.run().jobs.keys() <= {"make_table", "make_report"}, "all else is there"
    run.python("pipeline.commands.prune", "config.yaml", "--yes")
    return run


def duration(run: Workflow) -> float:
    """Seconds from the first result of a finished run to its last."""
    moments = [path.stat().st_mtime for path in (run.folder / "results" / "store").rglob("*") if path.is_file()]
    return max(moments) - min(moments)


def content(path: Path) -> str:
    """The digest of a file; without times, which no two runs share: of a history its seconds, of the page its cost."""
    if "histor" in path.as_posix():
        with path.open(newline="", encoding="utf-8") as file:
            rows = [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]
        return hashlib.sha256(repr(rows).encode()).hexdigest()
    if path.suffix == ".html":
        page = path.read_text(encoding="utf-8")
        page, sections = re.subn(r'<section id="cost".*?</section>', "", page, flags=re.DOTALL)
        page, times = re.subn(r'<td class="number" data-sort="[\d.]+">\d+:\d\d:\d\d</td>', "", page)
        assert sections == 1 and times == TRAININGS, "the page tells times elsewhere"
        return hashlib.sha256(page.encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def final_files(run: Workflow) -> dict[str, str]:
    """Everything that a run leaves for good, with its content's digest; `bright verify` looks at the checksums."""
    results = run.folder / "results"
    kept = [path for part in results.iterdir() if part.name not in PASSING for path in part.rglob("*")]
    files = (path for path in kept if path.is_file() and not is_checksum(path.name))
    return {path.relative_to(results).as_posix(): content(path) for path in files}


def unlock(run: Workflow) -> None:
    """What the README tells to do when a killed Snakemake left its lock."""
    locks = run.folder / ".snakemake" / "locks"
    if locks.exists() and any(locks.iterdir()):
        run.run("--unlock")


def survives(run: Workflow, seconds: float) -> bool:
    """Start the run, and kill all of it after so many seconds; whether it ended, well, before."""
    with (run.folder / "output.txt").open("ab") as output:
        process = subprocess.Popen(
            run.local_command(),
            cwd=run.folder,
            env=run.environment() | REAL_PROCESSES,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    assert code == 0, (run.folder / "output.txt").read_text()[-5000:]
    return True


@pytest.mark.parametrize("number", range(RUNS))
def test_a_run_killed_at_random_moments_ends_with_the_files_of_an_undisturbed_one(
    undisturbed: Workflow, tmp_path: Path, networks_folder: Path, number: int
) -> None:
    moments = random.Random(f"{SEED} {number}")
    run = empty_workflow(tmp_path / "run", networks_folder)
    run.configure(without_speed)
    expected, whole, started = final_files(undisturbed), duration(undisturbed), time.monotonic()
    killed_at: list[float] = []
    while len(killed_at) < KILLS and not survives(run, seconds := moments.uniform(0, min(LATEST_S, whole / 2))):
        killed_at.append(round(seconds, 1))
        unlock(run)
    run.run(**REAL_PROCESSES)
    took = time.monotonic() - started
    print(f"seed {SEED}, run {number}: killed after {killed_at} s, {took:.0f} s in all; undisturbed {whole:.0f} s")
    found = final_files(run)
    assert killed_at, "it ended before it could be killed"
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    run.python("pipeline.commands.verify", "config.yaml")
