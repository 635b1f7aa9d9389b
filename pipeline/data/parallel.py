"""A map over worker processes in order, with bounded memory."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from pipeline.base.errors import InputError
from pipeline.base.running_code import refuse_other_code

Task = TypeVar("Task")
Result = TypeVar("Result")

TASKS_AHEAD = 3  # per worker: handed out beyond the result that is waited for

_function: Callable[[Any], Any]  # of a worker process


def ordered_map(
    make: Callable[[], Callable[[Task], Result]], tasks: Iterable[Task], workers: int
) -> Generator[Result, None, None]:
    """make()(task) for every task, in the tasks' order, whatever the number of processes.

    `make` is called once in every process, so that each opens its own files. Unlike `Pool.imap` the map
    never runs far ahead of its reader: results can't pile up in memory. Processes are spawned, not
    forked: threads and open files of this one don't reach them.
    """
    if workers == 1:
        yield from map(make(), tasks)
        return
    remaining = iter(tasks)
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start, (make,))
    try:
        waiting: deque[Future[Result]] = deque()
        waiting.extend(pool.submit(_call, task) for task in islice(remaining, workers * (1 + TASKS_AHEAD)))
        while waiting:
            yield waiting.popleft().result()
            waiting.extend(pool.submit(_call, task) for task in islice(remaining, 1))
    except BrokenProcessPool:
        raise InputError(
            "--workers: a worker process was killed, most likely for want of memory; try fewer workers"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start(make: Callable[[], Callable[[Any], Any]]) -> None:
    global _function
    _function = make()


def _call(task: Any) -> Any:
    refuse_other_code()  # a spawned process imports anew
    return _function(task)
