"""The CPU time of a demo run, here and in another checkout, and whether their numbers are equal.

    python tools/benchmarks/benchmark_demo.py OTHER [--config FILE] [--target TARGET]... [--folder FOLDER]

Both start without results, each in its own folder, side by side with a core each, so that other work on this machine
affects both. It prints the CPU seconds of all processes, and of each stage by its jobs' records; the rest is
Snakemake's. Then every number of the tables in results/RUN must be the same, except times.
`--config tests/workflow/tiny.yaml --target table2` takes minutes. Do not edit either checkout meanwhile.
"""

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Annotated

import typer
from tabulate import tabulate

REPOSITORY = Path(__file__).parents[2]
NETWORKS = Path(os.environ.get("BRIGHT_NETWORKS", REPOSITORY / "results" / "networks"))
# Columns that differ between any two runs: times, and digests of code.
APART = re.compile(r"second|provenance|summaries")
# The libraries in a protocol.
VERSIONS = re.compile(r',? *"versions": \{[^}]*\}')


def start(checkout: Path, folder: Path, config: Path, targets: list[str]) -> subprocess.Popen[str]:
    """Start Snakemake on one core in a folder without results."""
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "networks").symlink_to(NETWORKS.resolve())
    command = ["-m", "snakemake", "--cores", "1", "--quiet", "--snakefile", checkout / "Snakefile"]
    environment = os.environ | {"PYTHONPATH": str(checkout / "pipeline")}
    with (folder / "output.txt").open("w") as output:
        words = [sys.executable, *map(str, command), "--configfile", str(config), "--", *targets]
        return subprocess.Popen(words, cwd=folder, env=environment, stdout=output, stderr=output, text=True)


def finish(run: subprocess.Popen[str], folder: Path) -> float:
    """Wait for the end of a run; returns the CPU seconds of all its processes."""
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        sys.exit(f"{folder}: the run failed:\n{(folder / 'output.txt').read_text()[-3000:]}")
    return used.ru_utime + used.ru_stime


def by_stage(folder: Path) -> dict[str, float]:
    """CPU seconds of the jobs of each stage, by their records."""
    taken: dict[str, float] = defaultdict(float)
    for path in (folder / "results" / "records").glob("*.json"):
        record = json.loads(path.read_text(encoding="utf-8"))
        taken[path.stem.partition("-")[0]] += record["cpu_seconds"]
    return taken


def cells(folder: Path) -> dict[str, str]:
    """Every cell of a run's tables, by table, line and column."""
    found = {}
    for path in sorted(folder.glob("results/*/tables/*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            for line, row in enumerate(csv.DictReader(file), 1):
                found |= {f"{path.stem}, line {line}, {name}": VERSIONS.sub("", cell) for name, cell in row.items()}
    return found


def benchmark(
    other: Annotated[Path, typer.Argument(help="Another checkout, such as a worktree of an older commit.")],
    config: Annotated[
        Path | None, typer.Option(help="The config of both runs; by default each checkout's config/demo.yaml.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="A target of the workflow; by default all.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Keeps both runs; by default they are removed.")] = None,
) -> None:
    """Print both times; exit with 1 where a number differs."""
    with tempfile.TemporaryDirectory() as temporary:
        places = {name: (folder or Path(temporary)).resolve() / name for name in ("there", "here")}
        checkouts = {"there": other.resolve(), "here": REPOSITORY}
        runs = {}
        try:
            for name, place in places.items():
                file = (config or checkouts[name] / "config" / "demo.yaml").resolve()
                runs[name] = start(checkouts[name], place, file, target or [])
            total = {name: finish(run, places[name]) for name, run in runs.items()}
        finally:
            for run in runs.values():
                run.terminate()  # the other one, where one failed
        there, here = (by_stage(places[name]) for name in runs)
        for name, taken in (("there", there), ("here", here)):
            taken |= {"snakemake": total[name] - sum(taken.values()), "all": total[name]}
        rows = [(stage, there.get(stage, 0.0), here.get(stage, 0.0)) for stage in sorted(there | here)]
        print(tabulate(rows, ["CPU seconds", "there", "here"], floatfmt=".1f"))
        against, compared = (cells(places[name]) for name in runs)
        wrong = [
            f"{place}: {compared.get(place)} here, {against.get(place)} there"
            for place in compared | against
            if not APART.search(place.rpartition(", ")[2]) and compared.get(place) != against.get(place)
        ]
        print(f"{len(compared)} cells of tables, {len(wrong)} of them differ", *wrong, sep="\n")
    sys.exit(bool(wrong) or not compared)


if __name__ == "__main__":
    typer.run(benchmark)
