"""How long Snakemake takes to plan: many rows, or nothing to do.

    python tools/benchmarks/benchmark_planning.py [--rows 1000] [--repeats 3]

- A dry run of the demo with 1,000 further ablation rows in Table 4, in an empty folder: at most 10 s of CPU. Fewer rows
  beside it tell whether each takes the same, however many there are.
- A run of the finished demo, with an empty file in the place of every result: at most 5 s of CPU.
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

from bright_pipeline.config.root import load_config
from bright_pipeline.engine.jobs import planned
from bright_pipeline.stages.common import Jobs
from forkserver import REAL_PROCESSES
from tiny_workflow import REPOSITORY, Workflow

DEMO = REPOSITORY / "config" / "demo.yaml"


def demo_with(rows: int) -> dict[str, Any]:
    """The demo's config, with further rows in Table 4: one model for each of so many learning rates."""
    values = yaml.safe_load(DEMO.read_text(encoding="utf-8"))
    for row in range(rows):
        values["autoencoders"][f"row{row}"] = {"like": "short", "training": {"learning_rate": 1e-3 * (1 + row / rows)}}
        values["tables"]["table4"].append(f"row{row}")
    return values


def in_folder(folder: str, values: dict[str, Any]) -> Workflow:
    Path(folder, "config.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return Workflow(Path(folder))


def measure(what: str, workflow: Workflow, arguments: tuple[str, ...], repeats: int, bar: float) -> float:
    """The CPU seconds of the fastest of several runs; other work hardly lengthens them."""
    used = []
    for _ in range(repeats):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        workflow.run(*arguments, **REAL_PROCESSES)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(f"{what}: {' '.join(f'{each:.1f}' for each in used)} s of CPU; at most {bar} s", flush=True)
    return min(used)


def benchmark(
    rows: Annotated[int, typer.Option(help="Further ablation rows.")] = 1000,
    repeats: Annotated[int, typer.Option(help="Timed runs of each.")] = 3,
) -> None:
    """Print a line for each of the two, and the time of a row."""
    taken = []
    for count in (rows // 5, 3 * rows // 5, rows):
        with tempfile.TemporaryDirectory() as folder:
            many = in_folder(folder, demo_with(count))
            taken.append((count, measure(f"dry run, {count} more rows", many, ("-n", "--quiet", "rules"), repeats, 10)))
    for (few, fewer), (many_rows, more) in pairwise(taken):
        print(f"from {few} rows to {many_rows}: {1000 * (more - fewer) / (many_rows - few):.1f} ms of CPU for each")
    with tempfile.TemporaryDirectory() as folder:
        demo = in_folder(folder, demo_with(0))
        for job in Jobs(load_config(demo_with(0)))(planned).values():
            for output in map(demo.folder.joinpath, job.outputs):
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_text("{}", encoding="utf-8")
        demo.run()  # publishes the stand-ins
        assert demo.run().nothing_to_do
        measure("nothing to do, demo (stand-ins for its results)", demo, (), repeats, 5)


if __name__ == "__main__":
    typer.run(benchmark)
