"""Freed memory stays with the process: the system does not fill the same pages with zeros again and again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
SIZE = 100_000_000 + len(sys.argv)  # known at run time: no constant of the compiler
if sys.argv[1] == "kept":
    from pipeline.base.memory import keep_freed_memory
    assert keep_freed_memory()
b"x" * SIZE
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    b"x" * SIZE
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    """Pages that the system had to give for ten blocks of 100 MB, one after another."""
    return int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_a_block_is_given_once() -> None:
    assert faults("usual") > 200_000, "4 kB each"
    assert faults("kept") < 500


GARBAGE = """
import gc, sys
if sys.argv[1] == "rarely":
    from pipeline.base.memory import collect_garbage_rarely
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


@pytest.mark.parametrize(
    ("how", "objects", "told"),
    [
        ("usual", 5_000, ["gone", "end"]),
        ("rarely", 5_000, ["end"]),
        ("rarely", 50_000, ["gone", "end"]),
    ],
)
def test_garbage_is_looked_for_less_often_and_not_at_the_end(how: str, objects: int, told: list[str]) -> None:
    command = [sys.executable, "-c", GARBAGE, how, str(objects)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() == told
