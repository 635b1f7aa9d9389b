"""Freed memory stays with the process, and the garbage collector runs rarely and not at exit."""

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
GARBAGE = """
import gc, sys
if sys.argv[1] == "rarely":
    from pipeline.base.process import collect_garbage_rarely
    collect_garbage_rarely()

class Node:
    def __del__(self):
        print("gone", flush=True)

node = Node()
node.itself = node
del node
kept = [[] for _ in range(int(sys.argv[2]))]
print("end", flush=True)
"""


def output(code: str, *arguments: str) -> list[str]:
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_freed_block_is_reused() -> None:
    """Ten blocks of 100 MB, one after another, in pages of 4 kB."""
    assert int(output(PAGE_FAULTS, "usual")[0]) > 200_000
    assert int(output(PAGE_FAULTS, "kept")[0]) < 500


@pytest.mark.parametrize(
    ("how", "objects", "lines"),
    [("usual", 5_000, ["gone", "end"]), ("rarely", 5_000, ["end"]), ("rarely", 50_000, ["gone", "end"])],
)
def test_garbage_is_collected_rarely_and_not_at_exit(how: str, objects: int, lines: list[str]) -> None:
    assert output(GARBAGE, how, str(objects)) == lines
