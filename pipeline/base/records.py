"""One record per job, a small JSON file: what it does, how far it is, what it uses, and how it ended.

The launcher (`launch`) and the stage's first process (`heartbeat`) write it together, each the facts that it knows;
a stage without a launcher writes all of it. Whoever reads it, on this machine or another one that shares the file
system, tells a job that died without a word from one that runs by the record's age. `bright status`, `bright estimate`
and the page read records, and a job's next attempt finds there how much memory it needs. What jobs use of the memory
that they asked for, and of the processors, is measured here.
"""

import fcntl
import json
import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil

from pipeline.base.atomic import write_json

RECORDS = Path("results/records")
# A job that vanished, its launcher too, died for memory if it had come this near to its limit. Below 1, since it is
# looked at four times a second, and since schedulers count Snakemake's own processes as the job's.
NEAR = 0.8
LOCK_PATIENCE_S = 2.0


class State(StrEnum):
    """Of a job. A record says `running` also of one that vanished: who reads it takes an old one for silent.

    No record says `damaged`: that is of results that are not what they were.
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
    """The record of the job that has this log: in `records` beside the folder `logs`; elsewhere, beside the log."""
    folder = log.parent.with_name(RECORDS.name) if log.parent.name == "logs" else log.parent
    return folder / f"{log.stem}.json"


def read_record(path: Path) -> dict[str, Any]:
    """A job's record; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("state", State.RUNNING) in list(State) else {}


class Record:
    """A record as one of its writers sees it. What cannot be written is left: no job fails for want of a record."""

    def __init__(self, log: Path | None, begins: bool, **own: Any):
        """`begins`: nothing stays of an earlier attempt. `own`: facts that are this writer's to tell, each time."""
        self.log, self.begins, self.own = log, begins, own

    def write(self, **facts: Any) -> None:
        """Put these facts, and the time, into the record; what the other writer told stays."""
        if self.log is None:
            return
        path = record_path(self.log)
        with suppress(OSError), _locked(self.log):
            now = time.time()
            record = {"started_at": now} | ({} if self.begins else read_record(path)) | self.own | facts
            write_json(path, record | {"updated_at": now, "seconds": now - record["started_at"]})
            self.begins = False


@contextmanager
def _locked(log: Path) -> Iterator[None]:
    """Hold the lock of the log's record: a lock (flock) on the log, which both writers have open anyway.

    Where the file system has no locks, or keeps a dead host's, it goes on without: each writer tells its facts
    again the next time.
    """
    with log.open("ab") as file:
        patience = time.monotonic() + LOCK_PATIENCE_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() < patience:
                    time.sleep(0.01)
                    continue
            except OSError:
                pass
            break
        yield


def request_mb(record: Path, base: int) -> int:
    """MB to ask for: `base`, or what the last attempt asked for, twice that if it died for memory."""
    last = read_record(record)
    try:
        limit = int(last.get("limit_mb") or 0)
        return max(base, 2 * limit if died_for_memory(last) else limit)
    except (ValueError, TypeError):
        return base


def died_for_memory(record: dict[str, Any]) -> bool:
    """Whether a job that ended, or vanished, did so for want of memory."""
    return record.get("state") == State.OUT_OF_MEMORY or (record.get("state") == State.RUNNING and near_limit(record))


def near_limit(record: dict[str, Any]) -> bool:
    """Whether a job came near its limit."""
    return bool(record.get("limit_mb")) and record.get("peak_mb", 0) >= NEAR * record["limit_mb"]


def limit_mb(asked: int | None) -> int | None:
    """The job's limit in MB: what it asked for, or what Slurm gave it where that is less."""
    given = os.environ.get("SLURM_MEM_PER_NODE", "")
    limits = [limit for limit in (asked, int(given) if given.isdigit() else None) if limit]
    return min(limits, default=None)


def used() -> dict[str, float]:
    """Seconds of the processors of this process and of all that it started and that ended; the largest one's memory."""
    own, others = (resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in (own, others)), 2),
        "peak_mb": round(max(_own_peak_kb(own.ru_maxrss), others.ru_maxrss) / 1024),
    }


def _own_peak_kb(otherwise: int) -> int:
    """The most memory that this process held, by Linux; its ru_maxrss begins with that of whoever started it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return otherwise
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM:")), otherwise)


def family() -> list[psutil.Process]:
    """This process and its descendants. Who they are stands in a file of every process of the machine: ask seldom."""
    process = psutil.Process()
    return [process, *process.children(recursive=True)]


def resident_mb(processes: list[psutil.Process]) -> float:
    """Resident memory of these processes, in MB (2^20 bytes), shared pages counted each time (as Slurm does)."""
    total = 0
    for each in processes:
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
