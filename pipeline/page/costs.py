"""What a run cost: its jobs' records, and what the trainings say of themselves."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.base.records import State, read_record
from pipeline.figures.curves import NOT_LOSSES, read_history
from pipeline.stages.page import JobRow


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


def gather_costs(jobs: Iterable[JobRow], records: Path, trainings: dict[str, list[Training]]) -> list[Cost]:
    """One per stage that took time, the most expensive first; a stage without records is left out.

    A record may be absent: results that were pulled from elsewhere took their time there.
    """
    by_stage: dict[str, list[JobRow]] = {}
    for job in jobs:
        by_stage.setdefault(job.stage, []).append(job)
    costs = []
    for stage, rows in by_stage.items():
        if stage in trainings:  # a history has the seconds of every attempt
            times = [training.seconds for training in trainings[stage]]
            costs.append(Cost(stage, len(rows), len(times), sum(times), None, None))
        elif measured := [found for job in rows if (found := _records(records, job))]:
            every = [one for found in measured for one in found]
            seconds, cpu_seconds = (sum(one[key] for one in every) for key in ("seconds", "cpu_seconds"))
            memory = max(one["peak_mb"] for one in every) * 2**20
            costs.append(Cost(stage, len(rows), len(measured), seconds, cpu_seconds, memory))
    return sorted(costs, key=lambda cost: -cost.seconds)


def _records(folder: Path, job: JobRow) -> list[dict[str, Any]]:
    """A job's records that tell what it cost: one, or one for each shard."""
    found = [read_record(path) for path in sorted(folder.glob(f"{job.stage}-{job.name}*.json"))]
    return [record for record in found if record.get("state") == State.DONE and "cpu_seconds" in record]
