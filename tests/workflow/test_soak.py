"""The tiny workflow, interrupted at random moments in random ways and started again until it is done.

Every final file then equals that of the undisturbed run; no process and no temporary file is left. `make test` does it
once with two interruptions, `make soak` twenty times with five; SOAK_RUNS and SOAK_SEED choose other numbers. Two
simultaneous runs of one config on one store, each in its own PID namespace, as in two containers, go on as often.
"""

import csv
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from bright_pipeline.engine.checksums import SUMS
from daemons import container
from tiny_workflow import Workflow, empty_workflow

RUNS = int(os.environ.get("SOAK_RUNS", "1"))
SEED = int(os.environ.get("SOAK_SEED", str(random.SystemRandom().randrange(10**6))))
KILLS = 5 if "SOAK_RUNS" in os.environ else 2
LATEST_S = 12.0  # finished jobs stay finished, so the moments are spread over the whole run
TRAININGS = 3  # of the tiny config
# Logs, records of jobs, saved states, code and its bytecode: no final files.
PASSING = {"code", "logs", "records", "work", "networks"}


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
    run.python("bright_pipeline.commands", "prune", "config.yaml", "--yes")
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
    files = (path for path in kept if path.is_file() and path.name != SUMS)
    return {path.relative_to(results).as_posix(): content(path) for path in files}


def heed_signals() -> None:
    """Handle signals as in a terminal; background jobs of a shell ignore them."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def processes_in(folder: Path) -> list[psutil.Process]:
    """All processes in a folder, whatever their parent."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


# Signals, in turn, with seconds between, to Snakemake alone or to all processes of the run.
DISTURBANCES = {
    "machine failure": ("all", [signal.SIGKILL], 0.0),
    "killed Snakemake": ("Snakemake", [signal.SIGKILL], 0.0),
    "out of memory": ("one", [signal.SIGKILL], 0.0),  # any process but Snakemake
    "asked Snakemake": ("Snakemake", [signal.SIGTERM], 0.0),
    "asked all": ("all", [signal.SIGTERM], 0.0),
    "impatient Ctrl-C": ("all", [signal.SIGINT, signal.SIGINT], 0.5),
    "closed terminal": ("all", [signal.SIGHUP], 0.0),
    "Ctrl-Z and fg": ("all", [signal.SIGSTOP, signal.SIGCONT], 2.0),
}
MAY_GO_ON = ("Ctrl-Z and fg", "out of memory")  # a job that was killed for memory is retried


def survives(run: Workflow, seconds: float, disturbance: str, draw: random.Random) -> bool:
    """Start the run and disturb it after some seconds; returns whether it had finished before."""
    with (run.folder / "output.txt").open("ab") as output:
        streams = {"stdout": output, "stderr": output}
        started = run.start(start_new_session=True, preexec_fn=heed_signals, **streams)
    with suppress(subprocess.TimeoutExpired):
        assert started.wait(seconds) == 0, (run.folder / "output.txt").read_text()[-5000:]
        return True
    target, signals, pause = DISTURBANCES[disturbance]
    others = [process for process in processes_in(run.folder) if process.pid != started.pid]
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        for number in signals:
            if target == "all":
                os.killpg(started.pid, number)
            else:
                (draw.choice(others) if target == "one" and others else started).send_signal(number)
            time.sleep(pause)
    if disturbance in MAY_GO_ON:
        try:
            started.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(started.pid, signal.SIGKILL)
    started.wait(60)  # raises where the disturbance did not end it; other jobs end before the run does
    _, orphans = psutil.wait_procs(processes_in(run.folder), timeout=30)
    assert not orphans, f"{disturbance} left {orphans}"
    return False


@pytest.mark.parametrize("number", range(RUNS))
def test_a_run_disturbed_at_random_moments_ends_with_the_files_of_an_undisturbed_one(
    undisturbed: Workflow, tmp_path: Path, networks_folder: Path, number: int
) -> None:
    draw = random.Random(f"{SEED} {number}")
    run = empty_workflow(tmp_path / "run", networks_folder)
    run.configure(without_speed)
    expected, whole, started = final_files(undisturbed), duration(undisturbed), time.monotonic()
    told: list[str] = []
    for disturbance in draw.sample(list(DISTURBANCES), KILLS):
        seconds = draw.uniform(0, min(LATEST_S, whole / 2))
        if survives(run, seconds, disturbance, draw):
            break
        told.append(f"{disturbance} after {seconds:.1f} s")
        if list(run.folder.glob(".snakemake/locks/*")):
            run.run("--unlock")  # as the README says
    run.run()
    took = time.monotonic() - started
    print(f"seed {SEED}, run {number}: {', '.join(told)}; {took:.0f} s in all; undisturbed {whole:.0f} s")
    found = final_files(run)
    assert told, "it ended before it could be disturbed"
    assert found.keys() == expected.keys()
    assert [name for name in expected if found[name] != expected[name]] == []
    run.python("bright_pipeline.commands", "verify", "config.yaml")


@pytest.mark.parametrize("number", range(RUNS))
def test_runs_beside_each_other_end_well_with_the_files_of_a_lone_one(tiny_run, tmp_path, networks_folder, number):
    one = empty_workflow(tmp_path / "one", networks_folder)
    other = Workflow(tmp_path / "other")  # with the same results
    other.folder.mkdir()
    shutil.copy(one.folder / "config.yaml", other.folder)
    (other.folder / "results").symlink_to(one.folder / "results")
    pipes, alone = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}, container()
    processes = [run.start("table2", "--cores", "1", before=alone, **pipes) for run in (one, one, other)]
    with ThreadPoolExecutor() as threads:  # a run whose output nobody reads waits, and the other one for it
        said = [text for text, _ in threads.map(subprocess.Popen.communicate, processes)]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert sorted(text.count("Finished jobid") for text in said)[:2] == [0, 0], "one of them has made everything"
    assert sum("waiting for another run on this store, which makes results/" in text for text in said) == 2
    expected = final_files(tiny_run)
    found = {path: digest for path, digest in final_files(one).items() if path.startswith(("store/", "identities/"))}
    assert any("autoencoders/" in path for path in found)
    assert {path: expected.get(path) for path in found} == found
    assert not list((one.folder / "results" / "store").rglob(".*"))
