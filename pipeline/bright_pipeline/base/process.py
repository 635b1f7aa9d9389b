"""This process: its CPU cores, its memory allocator and garbage collector, and the signals that ask it to end."""

import atexit
import ctypes
import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGEST_THRESHOLD = 2**31 - 1  # bytes; mallopt takes an int
NEW_OBJECTS_PER_COLLECTION = 20_000  # Python's default is 700


PORTABLE = {
    "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch's own kernels
    "ONEDNN_MAX_CPU_ISA": "AVX2",  # its convolutions
    "MKL_CBWR": "COMPATIBLE",  # its matrix products, exp and log
    "OPENBLAS_CORETYPE": "Haswell",  # linear algebra of numpy and scipy
    "NPY_DISABLE_CPU_FEATURES": "X86_V4,AVX512_SKX,AVX512_ICL,AVX512_SPR",  # numpy's exp and log
}
"""Variables with which libraries use the same kernels on every x86-64 processor with AVX2 (docs/processors.md)."""


def kernel_choice() -> dict[str, str]:
    """Variables for a process whose numbers do not depend on its processor; BRIGHT_PORTABLE=0: the fastest kernels.

    Libraries read them when they are first imported. numpy and scipy use one thread for linear algebra, unless the
    caller has set another number: more are slower here, and sums depend on the number.
    """
    threads = {"OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1")}
    processor = Path("/proc/cpuinfo")
    has_avx2 = processor.exists() and "avx2" in processor.read_text(encoding="utf-8")
    return threads | (PORTABLE if has_avx2 and os.environ.get("BRIGHT_PORTABLE") != "0" else {})


def is_portable() -> bool:
    """Whether the libraries of this process use the same kernels on every processor."""
    return os.environ.items() >= PORTABLE.items()


def cores() -> int:
    """CPU cores of this job on this machine: its CPU affinity, or Slurm's allocation if that is smaller."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allocated = os.environ.get("SLURM_CPUS_ON_NODE", "")
    return min(bound, int(allocated)) if allocated.isdigit() and int(allocated) else bound


def own_cores() -> int:
    """This process's share of the cores if torchrun started several processes on this machine."""
    processes = os.environ.get("LOCAL_WORLD_SIZE", "")
    return max(1, cores() // (int(processes) if processes.isdigit() and int(processes) else 1))


def keep_freed_memory() -> bool:
    """Keep freed blocks of up to 2 GB for reuse; returns whether the allocator supports it (glibc does).

    By default glibc returns freed blocks of more than 32 MB to the system, which zeroes each page before its next use.
    With reuse, a training step of convolutions at 112 x 112 takes a third less CPU time. No number changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", lambda option, value: 0)  # musl has none
    return all(mallopt(option, LARGEST_THRESHOLD) for option in (MMAP_THRESHOLD, TRIM_THRESHOLD))


def collect_garbage_rarely() -> None:
    """Collect garbage less often, and not at exit: scans of imported libraries take a third of a training's start."""
    gc.set_threshold(NEW_OBJECTS_PER_COLLECTION)
    atexit.register(gc.freeze)


def on_end_request(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    """Install a handler for SIGTERM, SIGINT (Ctrl-C) and SIGHUP (a closed terminal), unless `nohup` ignores them."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)
