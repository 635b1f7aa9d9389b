"""The CPU cores that a process may use: those of its job, not the machine's."""

import os


def cores() -> int:
    """CPU cores of this job on this machine: what it is bound to, and what Slurm gave it where it binds nothing."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(bound, int(given)) if given.isdigit() and int(given) else bound


def own_cores() -> int:
    """This process's share of them, where torchrun started several on this machine."""
    beside = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, cores() // (int(beside) if beside.isdigit() and int(beside) else 1))
