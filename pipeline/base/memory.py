"""How this process keeps memory that it has freed, and when it looks for objects that nobody can reach."""

import atexit
import ctypes
import gc
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGEST = 2**31 - 1  # bytes; what mallopt takes
NEW_OBJECTS = 20_000
"""After so many more Python looks for unreachable ones; it does after 700 unless told."""


def keep_freed_memory() -> bool:
    """Keep freed blocks up to 2 GB for the next ones; whether that could be asked for.

    glibc gives blocks of over 32 MB back to the system when they are freed, and the system fills those that it gives
    out anew with zeros, page by page: of a network's activations, in each layer of each step. Without that, a step of
    convolutions at 112 x 112 takes a third less of the processor. No number changes. Other systems have other
    allocators.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's; musl has none
    return mallopt is not None and all(mallopt(kind, LARGEST) for kind in (MMAP_THRESHOLD, TRIM_THRESHOLD))


def collect_garbage_rarely() -> None:
    """Look for unreachable objects less often, and not among all that is left when the process ends.

    Libraries are a million objects that stay; Python would go through them again and again while they are imported, and
    once more at the end: together a third of the processor's time of a training's start.
    """
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.freeze)
