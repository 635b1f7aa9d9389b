"""What finished and half-finished jobs took: rules' benchmarks, trainings' histories, stages' own records."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.heartbeat import DONE, record_path
from pipeline.plan.jobs import Job

BENCHMARKS = Path("results/benchmarks")
LOGS = Path("results/logs")


@dataclass(frozen=True)
class Record:
    """Seconds that a share of a job took; `device` as its driver names it, None where nothing tells."""

    seconds: float
    share: float
    device: str | None


def find_record(job: Job, log_name: str, steps: int | None) -> Record | None:
    """A job's record, if there is one; `steps` of a training, whose history tells how far it is."""
    own = _own_record(log_name)
    device = own.get("device")
    if steps is not None:
        return _training(job, steps, device)
    seconds = _benchmark(log_name)
    if seconds is None and own.get("state") == DONE:
        seconds = own["seconds"]
    return None if seconds is None else Record(seconds, 1.0, device)


def _own_record(log_name: str) -> dict[str, Any]:
    """What the stage itself wrote."""
    try:
        return json.loads(record_path(LOGS / f"{log_name}.log").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError):
        return {}


def _benchmark(log_name: str) -> float | None:
    """Seconds in Snakemake's benchmark file."""
    try:
        with (BENCHMARKS / f"{log_name}.tsv").open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t"))
        return float(rows[-1]["s"])
    except (OSError, KeyError, ValueError, IndexError):
        return None


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
