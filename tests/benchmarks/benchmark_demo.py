"""The CPU time of a demo run, here and in another checkout, and whether their numbers are equal.

    python tests/benchmarks/benchmark_demo.py OTHER [--config FILE] [--target TARGET]... [--folder FOLDER]

Both run from nothing, each in a folder of its own, side by side with a core each: what else happens on this machine
happens to both. Printed are the seconds of the processor of all processes, and by stage what the jobs' records have;
what no job took is Snakemake's own. Then every number of the tables in results/RUN must be the same, times aside.
In minutes it compares `--config tests/workflow/tiny.yaml --target table2`. Neither checkout may be edited meanwhile.
"""

import csv
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

REPOSITORY = Path(__file__).parents[2]
NETWORKS = Path(os.environ.get("BRIGHT_NETWORKS", REPOSITORY / "results" / "networks"))
# Columns that no two runs have alike: times, and digests of code.
APART = re.compile(r"second|provenance|summaries")
# Of a protocol: which libraries took part.
VERSIONS = re.compile(r',? *"versions": \{[^}]*\}')


def start(checkout: Path, folder: Path, config: Path, targets: list[str]) -> subprocess.Popen[str]:
    """Start Snakemake on one core in a folder where nothing was made yet."""
    (folder / "results").mkdir(parents=True)
    (folder / "results" / "networks").symlink_to(NETWORKS.resolve())
    command = ["-m", "snakemake", "--cores", "1", "--quiet", "--snakefile", checkout / "Snakefile"]
    environment = os.environ | {"PYTHONPATH": str(checkout)}
    with (folder / "output.txt").open("w") as output:
        words = [sys.executable, *map(str, command), "--configfile", str(config), "--", *targets]
        return subprocess.Popen(words, cwd=folder, env=environment, stdout=output, stderr=output, text=True)


def finish(run: subprocess.Popen[str], folder: Path) -> float:
    """Wait for the end of a run; returns what it and all that it started took of the processor, in seconds."""
    _, status, used = os.wait4(run.pid, 0)
    run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        sys.exit(f"{folder}: the run failed:\n{(folder / 'output.txt').read_text()[-3000:]}")
    return used.ru_utime + used.ru_stime


def by_stage(folder: Path) -> dict[str, float]:
    """Seconds of the processor that the jobs of each stage took, by their records."""
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


def differences(here: dict[str, str], there: dict[str, str]) -> Iterator[str]:
    """A line for each cell that is not the same in both, but for what no two runs have alike."""
    for place in here | there:
        if not APART.search(place.rpartition(", ")[2]) and here.get(place) != there.get(place):
            yield f"{place}: {here.get(place)} here, {there.get(place)} there"


def benchmark(
    other: Annotated[Path, typer.Argument(help="Another checkout, such as a worktree of an older commit.")],
    config: Annotated[
        Path | None, typer.Option(help="The config that both run; without it each its own config/demo.yaml.")
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="A target of the workflow; without one all of it.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Where both runs stay; without it they go in the end.")] = None,
) -> None:
    """Print what both took; end with 1 where a number is another one."""
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
                run.terminate()  # one that goes on where the other failed; nothing where it has ended
        print_taken({name: by_stage(place) for name, place in places.items()}, total)
        compared, against = (cells(places[name]) for name in ("here", "there"))
        wrong = list(differences(compared, against))
        print(f"{len(compared)} cells of tables, {len(wrong)} of them not the same", *wrong, sep="\n")
    sys.exit(bool(wrong) or not compared)


def print_taken(stages: dict[str, dict[str, float]], total: dict[str, float]) -> None:
    """A line for each stage, and what both runs took in all."""
    for name, taken in stages.items():
        taken["snakemake"] = total[name] - sum(taken.values())
        taken["all"] = total[name]
    print(f"{'seconds of the processor':24}{'there':>10}{'here':>10}{'less':>8}")
    for stage in sorted({**stages["there"], **stages["here"]}, key=lambda stage: stages["there"].get(stage, 0.0)):
        before, after = stages["there"].get(stage, 0.0), stages["here"].get(stage, 0.0)
        less = f"{1 - after / before:.1%}" if before else ""
        print(f"{stage:24}{before:10.1f}{after:10.1f}{less:>8}")


if __name__ == "__main__":
    typer.run(benchmark)
