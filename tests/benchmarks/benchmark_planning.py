"""How long Snakemake takes until it knows what there is to do: many rows, or nothing.

    python tests/benchmarks/benchmark_planning.py [--rows 200] [--repeats 3]

- A dry run of the demo with 200 further ablation rows in Table 4, in an empty folder: at most 30 s.
- A run of the finished demo: at most 15 s. Where results/demo is whole, that one is asked; elsewhere an empty file
  stands for every result, which is all the same to the question.
"""

import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow"))

from tiny_workflow import REPOSITORY, Workflow

from pipeline.config.root import load_config
from pipeline.plan.parts import planned
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


def finished_here() -> bool:
    command = [sys.executable, "-m", "snakemake", "-n"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    return "Nothing to be done" in done.stdout + done.stderr


def benchmark(
    rows: Annotated[int, typer.Option(help="Further ablation rows.")] = 200,
    repeats: Annotated[int, typer.Option(help="Timed runs of each.")] = 3,
) -> None:
    """Print a line for each of the two."""
    with tempfile.TemporaryDirectory() as folder:
        many = in_folder(Path(folder), demo_with(rows))
        trained = many.run("-n", "--quiet", "rules").jobs["train_autoencoder"]
        _measure(f"dry run, {rows} more rows, {trained} autoencoders", many, ("-n", "--quiet", "rules"), repeats, 30)
    with tempfile.TemporaryDirectory() as folder:
        here = finished_here()
        finished = Workflow(REPOSITORY) if here else in_folder(Path(folder), demo_with(0))
        if not here:
            stand_ins(finished.folder)
        finished.run()  # publishes what the folder holds
        assert finished.run().nothing_to_do
        _measure(f"nothing to do, demo{'' if here else ' (stand-ins for its results)'}", finished, (), repeats, 15)


def _measure(what: str, workflow: Workflow, arguments: tuple[str, ...], repeats: int, bar: float) -> None:
    """Run it so often; print the seconds, and those of the processor, which other work does not lengthen."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = [workflow.run(*arguments).seconds for _ in range(repeats)]
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / repeats
    print(f"{what}: {' '.join(f'{each:.1f}' for each in seconds)} s, {busy:.1f} s of CPU each; at most {bar} s")


if __name__ == "__main__":
    typer.run(benchmark)
