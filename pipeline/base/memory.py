"""How this process keeps memory that it has freed."""

import ctypes
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # glibc's malloc.h
LARGEST = 2**31 - 1  # bytes; what mallopt takes


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
