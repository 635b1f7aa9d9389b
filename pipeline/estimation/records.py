"""What finished and half-finished jobs took: rules' benchmarks, trainings' histories, stages' own records."""

import csv
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.records import State, read_record, record_path
from pipeline.plan.jobs import Job
from pipeline.plan.shards import Shard


@dataclass(frozen=True)
class Record:
    """Seconds that a share of a job took; `device` as its driver names it, None where nothing tells."""

    seconds: float
    share: float
    device: str | None


def find_record(shard: Shard, steps: int | None) -> Record | None:
    """A job's record, if there is one; `steps` of a training, whose history tells how far it is."""
    own = read_record(record_path(shard.log))
    device = own.get("device")
    if steps is not None:
        return _training(shard.job, steps, device)
    return Record(own["seconds"], 1.0, device) if own.get("state") == State.DONE else None


def _training(job: Job, steps: int, device: str | None) -> Record | None:
    """The last row of the finished history, else of the one beside the saved state."""
    finished = [Path(output) for output in job.outputs if output.endswith("history.csv")]
    for path in (*finished, job.work / "history.csv"):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            last = rows[-1]
            return Record(float(last["seconds"]), min(1.0, float(last["step"]) / steps), device)
        except (OSError, KeyError, ValueError, IndexError):
            continue
    return None
