"""Clock and CPU seconds of a call."""

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

Result = TypeVar("Result")


class Took(NamedTuple):
    seconds: float
    cpu_seconds: float


def timed(call: Callable[[], Result]) -> tuple[Result, Took]:
    """The result of a call, and its seconds."""
    started, worked = time.perf_counter(), time.process_time()
    found = call()
    return found, Took(time.perf_counter() - started, time.process_time() - worked)
