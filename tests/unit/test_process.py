"""Freed memory stays with the process."""

import subprocess
import sys

import pytest

PAGE_FAULTS = """
import resource, sys
SIZE = 100_000_000 + len(sys.argv)  # known at run time: no constant of the compiler
if sys.argv[1] == "kept":
    from pipeline.base.process import keep_freed_memory
    assert keep_freed_memory()
b"x" * SIZE
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * SIZE
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_block_is_reused() -> None:
    """Ten blocks of 100 MB, one after another, in pages of 4 kB."""
    usual, kept = (
        int(subprocess.check_output([sys.executable, "-c", PAGE_FAULTS, how], text=True)) for how in ("usual", "kept")
    )
    assert usual > 200_000 and kept < 500
