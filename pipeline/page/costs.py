"""What a run cost: Snakemake's measurements of its jobs, and what the trainings say of themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from pipeline.base.errors import InputError
from pipeline.figures.curves import NOT_LOSSES, read_history
from pipeline.page.job import JobRow


@dataclass(frozen=True)
class Cost:
    """A stage's jobs: seconds on the clock and of the processors, summed, and the largest memory."""

    stage: str
    jobs: int
    recorded: int
    seconds: float
    cpu_seconds: float | None
    memory: float | None  # bytes


@dataclass(frozen=True)
class Training:
    """The last line of a training's history."""

    name: str
    steps: int
    images: int
    seconds: float
    losses: dict[str, float]


def read_trainings(histories: dict[str, Path]) -> list[Training]:
    """One for each history, in the order given."""
    trainings = []
    for name, path in histories.items():
        frame = read_history(path)
        last = frame.iloc[-1]
        losses = {str(column): float(last[column]) for column in frame if column not in NOT_LOSSES}
        losses = {column: value for column, value in losses.items() if value == value}
        trainings.append(Training(name, int(last["step"]), int(last["images"]), float(last["seconds"]), losses))
    return trainings


def gather_costs(jobs: Iterable[JobRow], benchmarks: Path, trainings: dict[str, list[Training]]) -> list[Cost]:
    """One per stage that took time, the most expensive first; a stage without records is left out.

    A benchmark may be absent: results that were pulled from elsewhere took their time there.
    """
    by_stage: dict[str, list[JobRow]] = {}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    costs = []
    for stage, rows in by_stage.items():
        if stage in trainings:
            times = [training.seconds for training in trainings[stage]]
            costs.append(Cost(stage, len(rows), len(times), sum(times), None, None))
        elif measured := [found for job in rows if (found := _benchmarks(benchmarks, job))]:
            frame = pd.concat([one for found in measured for one in found])
            seconds, cpu, mebibytes = (pd.to_numeric(frame[c], errors="coerce") for c in ("s", "cpu_time", "max_rss"))
            costs.append(
                Cost(
                    stage,
                    len(rows),
                    len(measured),
                    float(seconds.sum()),
                    float(cpu.sum()),
                    float(mebibytes.max()) * 2**20,
                )
            )
    return sorted(costs, key=lambda cost: -cost.seconds)


def _benchmarks(folder: Path, job: JobRow) -> list[pd.DataFrame]:
    """A job's files: one, or one for each shard."""
    return [_read(path) for path in sorted(folder.glob(f"{job.stage}-{job.name}*.tsv"))]


def _read(path: Path) -> pd.DataFrame:
    frame = pd.read_csv(path, sep="\t")
    if not {"s", "cpu_time", "max_rss"} <= set(frame):
        raise InputError(f"benchmark {path}: Snakemake's columns s, cpu_time and max_rss are needed; delete the file")
    return frame
