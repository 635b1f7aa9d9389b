"""What jobs use of the memory that they asked for, and of the processors."""

import os
import resource

import psutil


def limit_mb(asked: int | None) -> int | None:
    """The job's limit in MB: what it asked for, or what Slurm gave it where that is less."""
    given = os.environ.get("SLURM_MEM_PER_NODE", "")
    limits = [limit for limit in (asked, int(given) if given.isdigit() else None) if limit]
    return min(limits, default=None)


def used() -> dict[str, float]:
    """Seconds of the processors of this process and of all that it started and that ended; the largest one's memory."""
    each = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return {
        "cpu_seconds": round(sum(one.ru_utime + one.ru_stime for one in each), 2),
        "peak_mb": round(max(one.ru_maxrss for one in each) / 1024),
    }


def resident_mb() -> float:
    """Resident memory of this process and its descendants, in MB (2^20 bytes), shared pages counted each time (as
    Slurm does)."""
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
