"""The record of a job: a small JSON file with its progress, resource use and end.

The launcher (`launch`) and the stage's first process (`heartbeat`) each write the facts that they know; a stage without
a launcher writes all of them. Every machine that shares the file system can read the record, and its age shows whether
the job was killed. `bright status`, `bright estimate` and the page read records; a job's next attempt finds there
how much memory it needs. This module also measures memory and CPU time.
"""

import os
import resource
import sys
import time
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import wait_for_lock
from bright_pipeline.base.parsing import read_json
from bright_pipeline.engine.atomic import write_json

RECORDS = Path("results/records")
# A job that vanished with its launcher was killed for memory if it had used this share of its limit: memory is sampled
# four times a second, and schedulers count Snakemake's own processes as the job's.
NEAR_LIMIT = 0.8
LOCK_PATIENCE_S = 2.0
NUMBERS = (
    *("done_before", "done", "total", "rate", "left_s", "seconds"),
    *("started_at", "updated_at", "peak_mb", "limit_mb"),
)
MAX_PLAUSIBLE = 1e15
REFUSED = "refused"  # a fact of a record: the job's GPUs are missing or too small, so no attempt follows


class State(StrEnum):
    """The state of a job.

    A killed job's record stays at `running`; readers report an old one as `silent`. No record has `damaged`.
    """

    DONE = "done"
    RUNNING = "running"
    SILENT = "silent"
    DAMAGED = "damaged"
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"
    INTERRUPTED = "interrupted"
    WAITING = "waiting"


def record_path(log: Path) -> Path:
    """The record of the job with this log: in `records` beside the folder `logs`; elsewhere beside the log."""
    folder = log.parent.with_name(RECORDS.name) if log.parent.name == "logs" else log.parent
    return folder / f"{log.stem}.json"


def read_record(path: Path) -> dict[str, Any]:
    """A job's record without facts that are None; empty if it is missing, unreadable or no record."""
    with suppress(InputError):
        record = read_json(path, str(path))
        is_record = isinstance(record, dict) and record.get("state", State.RUNNING) in list(State)
        facts = {key: fact for key, fact in record.items() if fact is not None} if is_record else {}
        numbers = [facts.get(key, 0) for key in NUMBERS]
        if all(isinstance(number, int | float) and abs(number) < MAX_PLAUSIBLE for number in numbers):
            return facts
    return {}


class Record:
    """A record as one of its writers sees it. No job fails because its record cannot be written."""

    def __init__(self, log: Path | None, begins: bool, **repeated: Any):
        """`begins`: drop the facts of an earlier attempt. `repeated`: facts that this writer repeats in each write."""
        self.log, self.begins, self.repeated = log, begins, repeated

    def write(self, **facts: Any) -> None:
        """Update the record with these facts and the time; the other writer's facts stay."""
        if self.log is None:
            return
        path = record_path(self.log)
        with suppress(OSError), self.log.open("ab") as file:
            # The lock is on the log, which both writers have open anyway. Without locks, or after a dead host's lock,
            # the write goes on: each writer repeats its facts the next time.
            wait_for_lock(file, LOCK_PATIENCE_S)
            now = time.time()
            record = {"started_at": now} | ({} if self.begins else read_record(path)) | self.repeated | facts
            write_json(path, record | {"updated_at": now, "seconds": now - record["started_at"]})
            self.begins = False


def request_mb(record: Path, base: int) -> int:
    """Memory to request in MB: `base`, or the last attempt's request, doubled if it was killed for memory."""
    last = read_record(record)
    limit = int(last.get("limit_mb", 0))
    return max(base, 2 * limit if died_for_memory(last) else limit)


def died_for_memory(record: dict[str, Any]) -> bool:
    """Whether a job that ended, or vanished, ran out of memory."""
    return record.get("state") == State.OUT_OF_MEMORY or (record.get("state") == State.RUNNING and near_limit(record))


def near_limit(record: dict[str, Any]) -> bool:
    """Whether a job came near its memory limit."""
    return bool(record.get("limit_mb")) and record.get("peak_mb", 0) >= NEAR_LIMIT * record["limit_mb"]


def limit_mb(requested: int | None) -> int | None:
    """The job's memory limit in MB: its request, or Slurm's allocation if that is smaller."""
    allocated = os.environ.get("SLURM_MEM_PER_NODE", "")
    limits = [limit for limit in (requested, int(allocated) if allocated.isdigit() else None) if limit]
    return min(limits, default=None)


def used() -> dict[str, float]:
    """CPU seconds of this process and its ended children, and the peak memory of the largest of them in MB."""
    process, children = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    unit = 1024 if sys.platform == "darwin" else 1  # macOS counts bytes, Linux kB
    peak_kb = process.ru_maxrss / unit  # on Linux it starts with the parent's, so VmHWM is read there
    with suppress(OSError):
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak_kb = next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), peak_kb)
    return {
        "cpu_seconds": round(sum(usage.ru_utime + usage.ru_stime for usage in (process, children)), 2),
        "peak_mb": round(max(peak_kb, children.ru_maxrss / unit) / 1024),
    }


def process_tree() -> list[psutil.Process]:
    """This process and its descendants. This reads a file of every process of the machine: call it rarely."""
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def resident_mb(processes: list[psutil.Process]) -> float:
    """Resident memory of these processes in MB (2^20 bytes); shared pages count for each process, as in Slurm."""
    total = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it has just ended
            total += process.memory_info().rss
    return total / 2**20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the host's memory (not a GPU's) was exhausted."""
    signs = (
        "DefaultCPUAllocator: can't allocate memory",
        "DefaultCPUAllocator: not enough memory",
        "is killed by signal: Killed",  # a data loader's worker
    )
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in signs)
