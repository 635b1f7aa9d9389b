"""What jobs used of the memory that they asked for, and what they ask for next.

`pipeline.base.launch` keeps a record of each job. A request grows only after a death for memory; a job that was
asked to end, lost its node or met its time limit asks for the same again. After a clean end the record
stays, as a benchmark.
"""

import json
import os
import resource
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from pipeline.base.atomic import write_json

BENCHMARKS = Path("results/benchmarks")


class State(StrEnum):
    """How a job ended; one that vanished is still `running`."""

    RUNNING = "running"
    ENDED = "ended"
    TERMINATED = "terminated"
    FAILED = "failed"
    OUT_OF_MEMORY = "out of memory"


# A job that vanished, its launcher too, died for memory if it had come this near to its limit. Below 1, since it is
# looked at four times a second, and since schedulers count Snakemake's own processes as the job's.
NEAR = 0.8
# The record is written again when the peak grew by this factor.
GROWN = 1.03


def record_path(log: Path) -> Path:
    """The record of the job that has this log."""
    return BENCHMARKS / f"{log.stem}.memory.json"


def request_mb(record: Path, base: int) -> int:
    """MB to ask for: `base`, or what the last attempt asked for, twice that if it died for memory."""
    try:
        last = json.loads(record.read_text(encoding="utf-8"))
        limit = int(last["limit_mb"] or 0)
        return max(base, 2 * limit if _died_for_memory(last) else limit)
    except (OSError, ValueError, KeyError, TypeError):
        return base  # no attempt yet, or none whose record can be read


def _died_for_memory(record: dict[str, Any]) -> bool:
    near = bool(record["limit_mb"]) and record["peak_mb"] >= NEAR * record["limit_mb"]
    return record["state"] == State.OUT_OF_MEMORY or (record["state"] == State.RUNNING and near)


def limit_mb(asked: int | None) -> int | None:
    """The job's limit in MB: what it asked for, or what Slurm gave it where that is less."""
    given = os.environ.get("SLURM_MEM_PER_NODE", "")
    limits = [limit for limit in (asked, int(given) if given.isdigit() else None) if limit]
    return min(limits, default=None)


@dataclass
class MemoryRecord:
    """The record of a running job; `facts` (devices, processes) stand in it too."""

    path: Path | None
    limit_mb: int | None
    facts: dict[str, Any]

    def __post_init__(self) -> None:
        self.started_at = time.monotonic()
        self.peak_mb = self.written_mb = 0.0

    def sample(self) -> None:
        """Look at this process and its descendants; resident memory, shared pages counted each time (as Slurm does)."""
        self.peak_mb = max(self.peak_mb, resident_mb())
        if self.peak_mb > GROWN * self.written_mb:
            self._write(State.RUNNING)

    def near_limit(self) -> bool:
        """Whether the job came near its limit."""
        return self.limit_mb is not None and self.peak_mb >= NEAR * self.limit_mb

    def end(self, state: State) -> None:
        """Write the last record; the kernel knows the largest process also of a stage too short for a sample."""
        self.peak_mb = max(self.peak_mb, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)
        self._write(state)

    def _write(self, state: State) -> None:
        """Write the record, if the job has a log to name it by."""
        self.written_mb = self.peak_mb
        if self.path is not None:
            seconds = round(time.monotonic() - self.started_at, 1)
            values = {"state": state, "limit_mb": self.limit_mb, "peak_mb": round(self.peak_mb), "seconds": seconds}
            write_json(self.path, values | self.facts)


def resident_mb() -> float:
    """Resident memory of this process and its descendants, in MB (2^20 bytes)."""
    process = psutil.Process()
    total = 0
    for each in (process, *process.children(recursive=True)):
        try:
            total += each.memory_info().rss
        except psutil.NoSuchProcess:
            continue  # it has just ended
    return total / 2**20


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that the host's memory was not enough (a GPU's is another matter)."""
    signs = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
    killed = "is killed by signal: Killed"  # a data loader's worker
    return isinstance(error, MemoryError) or any(sign in str(error) for sign in (*signs, killed))
