"""How long Snakemake takes to plan: many rows, or nothing to do.

    python tests/benchmarks/benchmark_planning.py [--rows 1000] [--repeats 3] [--finished FOLDER]

- A dry run of the demo with 1,000 further ablation rows in Table 4, in an empty folder: at most 10 s of CPU. Fewer rows
  beside it tell whether each takes the same, however many there are.
- A run of the finished demo: at most 5 s of CPU. The demo is asked that is whole here or in FOLDER; where none is, an
  empty file stands for every result.
"""

import resource
import sys
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from forkserver import REAL_PROCESSES
from tiny_workflow import REPOSITORY, Workflow

from pipeline.config.root import load_config
from pipeline.plan.shards import planned
from pipeline.stages.common import Jobs

DEMO = REPOSITORY / "config" / "demo.yaml"


def demo_with(rows: int) -> dict[str, Any]:
    """The demo's config, with further rows in Table 4: one model for each of so many learning rates."""
    values = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    for row in range(rows):
        values["autoencoders"][f"row{row}"] = {"like": "short", "training": {"learning_rate": 1e-3 * (1 + row / rows)}}
        values["tables"]["table4"].append(f"row{row}")
    return values


def in_folder(folder: Path, values: dict[str, Any]) -> Workflow:
    (folder / "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return Workflow(folder)


def stand_ins(folder: Path) -> None:
    """An empty JSON file in the place of every result of the demo."""
    for job in Jobs(load_config(demo_with(0)))(planned).values():
        for output in map(folder.joinpath, job.outputs):
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text("{}", encoding="utf-8")


def is_finished(demo: Workflow) -> bool:
    """Whether nothing is to be done in a folder; Snakemake takes the demo's config where there is no other."""
    return demo.run("-n").nothing_to_do


def benchmark(
    rows: Annotated[int, typer.Option(help="Further ablation rows.")] = 1000,
    repeats: Annotated[int, typer.Option(help="Timed runs of each.")] = 3,
    finished: Annotated[Path, typer.Option(help="A folder where the demo ran to its end.")] = REPOSITORY,
) -> None:
    """Print a line for each of the two, and what a row takes."""
    taken = [(count, _dry_run(count, repeats)) for count in (rows // 5, 3 * rows // 5, rows)]
    for (few, fewer), (many, more) in pairwise(taken):
        print(f"from {few} rows to {many}: {1000 * (more - fewer) / (many - few):.1f} ms of CPU for each")
    demo = Workflow(finished)
    if is_finished(demo):
        _measure(f"nothing to do, demo of {finished}", demo, (), repeats, 5)
        return
    with tempfile.TemporaryDirectory() as folder:
        demo = in_folder(Path(folder), demo_with(0))
        stand_ins(demo.folder)
        demo.run()  # publishes what the folder holds
        assert demo.run().nothing_to_do
        _measure("nothing to do, demo (stand-ins for its results)", demo, (), repeats, 5)


def _dry_run(rows: int, repeats: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        many = in_folder(Path(folder), demo_with(rows))
        trained = many.run("-n", "--quiet", "rules").jobs["train_autoencoder"]
        what = f"dry run, {rows} more rows, {trained} autoencoders"
        return _measure(what, many, ("-n", "--quiet", "rules"), repeats, 10)


def _measure(what: str, workflow: Workflow, arguments: tuple[str, ...], repeats: int, bar: float) -> float:
    """The seconds of the processor that a run takes, which other work hardly lengthens: the fastest of so many."""
    used = []
    for _ in range(repeats):
        before = cpu_of_children()
        workflow.run(*arguments, **REAL_PROCESSES)
        used.append(cpu_of_children() - before)
    print(f"{what}: {' '.join(f'{each:.1f}' for each in used)} s of CPU; at most {bar} s", flush=True)
    return min(used)


def cpu_of_children() -> float:
    """Seconds of the processor that this process's children have taken and been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    typer.run(benchmark)
