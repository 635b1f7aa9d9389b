"""The tiny workflow, interrupted at random moments in random ways and started again until it is done.

Every final file then equals that of the undisturbed run; no process and no temporary file is left. `make test` does it
once with two interruptions, `make soak` twenty times with five; SOAK_RUNS and SOAK_SEED choose other numbers.
"""

import csv
import hashlib
import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_workflow import Workflow, empty_workflow

from pipeline.base.checksums import is_checksum

pytestmark = pytest.mark.slow

RUNS = int(os.environ.get("SOAK_RUNS", "1"))
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
KILLS = 5 if "SOAK_RUNS" in os.environ else 2
LATEST_S = 12.0  # finished jobs stay finished, so the moments are spread over the whole run
ENDS_WITHIN_S = 60.0  # after a signal; the other jobs of a run with a killed job end first
ORPHANS_END_WITHIN_S = 30.0
TRAININGS = 3  # of the tiny config
# Logs, records of jobs, saved states: no final files.
PASSING = {"logs", "records", "work", "networks"}


def without_speed(config: dict[str, Any]) -> None:
    """Remove the tables that measure speed, which differs between runs."""
    for table in ("equal_budget", "decoding"):
        config["tables"].pop(table, None)


@pytest.fixture(scope="module")
def undisturbed(tiny_run: Workflow, tmp_path_factory: pytest.TempPathFactory) -> Workflow:
    """The tiny run without measurements of speed."""
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
    """The digest of a file without times: the seconds of a history, the cost on the page."""
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
    """The digests of all final files, without checksums, which `bright verify` checks."""
    results = run.folder / "results"
    kept = [path for part in results.iterdir() if part.name not in PASSING for path in part.rglob("*")]
    files = (path for path in kept if path.is_file() and not is_checksum(path.name))
    return {path.relative_to(results).as_posix(): content(path) for path in files}


def unlock(run: Workflow) -> None:
    """Remove the lock of a killed Snakemake, as the README says."""
    locks = run.folder / ".snakemake" / "locks"
    if locks.exists() and any(locks.iterdir()):
        run.run("--unlock")


def heed_signals() -> None:
    """Handle signals as in a terminal; background jobs of a shell ignore them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Disturbed:
    """A started run with all its processes."""

    def __init__(self, run: Workflow, draw: random.Random):
        self.run, self.draw = run, draw
        with (run.folder / "output.txt").open("ab") as output:
            streams = {"stdout": output, "stderr": output}
            self.process = run.start(start_new_session=True, preexec_fn=heed_signals, **streams)

    def ends_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def processes(self) -> list[psutil.Process]:
        """All processes in its folder, whatever their parent."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == str(self.run.folder) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def to_all(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def kill_all(self) -> None:
        """As when the machine fails."""
        self.to_all(signal.SIGKILL)

    def kill_snakemake(self) -> None:
        self.process.kill()

    def kill_one_process(self) -> None:
        """As the kernel does when memory runs out: any process but Snakemake."""
        others = [process for process in self.processes() if process.pid != self.process.pid]
        with suppress(psutil.NoSuchProcess):
            (self.draw.choice(others) if others else self.process).kill()

    def ask_snakemake(self) -> None:
        self.process.terminate()

    def ask_all(self) -> None:
        self.to_all(signal.SIGTERM)

    def interrupt_twice(self) -> None:
        """An impatient Ctrl-C."""
        self.to_all(signal.SIGINT)
        time.sleep(0.5)
        self.to_all(signal.SIGINT)

    def hang_up(self) -> None:
        """A terminal that closes."""
        self.to_all(signal.SIGHUP)

    def suspend(self) -> None:
        """Ctrl-Z, and fg a while later: nothing ends."""
        self.to_all(signal.SIGSTOP)
        time.sleep(2)
        self.to_all(signal.SIGCONT)


DISTURBANCES: tuple[Callable[[Disturbed], None], ...] = (
    *(Disturbed.kill_all, Disturbed.kill_snakemake, Disturbed.kill_one_process, Disturbed.ask_snakemake),
    *(Disturbed.ask_all, Disturbed.interrupt_twice, Disturbed.hang_up, Disturbed.suspend),
)
# A job that was killed for memory is retried.
MAY_GO_ON = (Disturbed.suspend, Disturbed.kill_one_process)


def survives(run: Workflow, seconds: float, disturb: Callable[[Disturbed], None], draw: random.Random) -> bool:
    """Start the run and disturb it after some seconds; returns whether it had finished before."""
    started = Disturbed(run, draw)
    if not started.ends_within(seconds):
        disturb(started)
        if disturb in MAY_GO_ON and not started.ends_within(seconds):
            started.kill_all()
        assert started.ends_within(ENDS_WITHIN_S), f"{disturb.__name__} did not end it"
        _, orphans = psutil.wait_procs(started.processes(), ORPHANS_END_WITHIN_S)
        assert not orphans, f"{disturb.__name__} left {orphans}"
        return False
    assert started.process.returncode == 0, (run.folder / "output.txt").read_text()[-5000:]
    return True


@pytest.mark.parametrize("number", range(RUNS))
def test_a_run_disturbed_at_random_moments_ends_with_the_files_of_an_undisturbed_one(
    undisturbed: Workflow, tmp_path: Path, networks_folder: Path, number: int
) -> None:
    draw = random.Random(f"{SEED} {number}")
    run = empty_workflow(tmp_path / "run", networks_folder)
    run.configure(without_speed)
    expected, whole, started = final_files(undisturbed), duration(undisturbed), time.monotonic()
    told: list[str] = []
    for disturb in draw.sample(DISTURBANCES, KILLS):
        seconds = draw.uniform(0, min(LATEST_S, whole / 2))
        if survives(run, seconds, disturb, draw):
            break
        told.append(f"{disturb.__name__} after {seconds:.1f} s")
        unlock(run)
    run.run()
    took = time.monotonic() - started
    print(f"seed {SEED}, run {number}: {', '.join(told)}; {took:.0f} s in all; undisturbed {whole:.0f} s")
    found = final_files(run)
    assert told, "it ended before it could be disturbed"
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    run.python("pipeline.commands.verify", "config.yaml")
