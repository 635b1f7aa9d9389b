"""Wall time of tasks on some GPUs and cores: list scheduling, the longest chain first."""

import heapq
from collections import defaultdict
from dataclasses import dataclass

from pipeline.estimation.tasks import Task
from pipeline.plan.jobs import Job

Key = tuple[str, str]  # of a job: stage, digest


@dataclass(frozen=True)
class Schedule:
    """When everything is done, and the chain of jobs that no number of GPUs makes shorter."""

    seconds: float
    longest_chain_s: float
    chain: list[Job]


def key_of(job: Job) -> Key:
    """What a job is known by in a plan."""
    return job.stage, job.digest


def schedule(tasks: list[Task], gpus: int, cores: int) -> Schedule:
    """What is left of the tasks, started as soon as its inputs are made and a GPU or cores are free.

    Where several could start, the one that the longest chain hangs on starts first (Graham 1969).
    """
    by_job: dict[Key, list[Task]] = defaultdict(list)
    for task in tasks:
        by_job[key_of(task.job)].append(task)
    longest = {key: max(task.seconds_left for task in group) for key, group in by_job.items()}
    needs, feeds = _edges(by_job)
    chains = _chains(longest, feeds)
    seconds = _run(by_job, needs, feeds, chains, gpus, cores)
    first = max(chains, key=lambda key: chains[key], default=None)
    chain = []
    while first is not None:
        chain.append(by_job[first][0].job)
        first = max(feeds[first], key=lambda key: chains[key], default=None)
    return Schedule(seconds, max(chains.values(), default=0.0), chain)


def _edges(by_job: dict[Key, list[Task]]) -> tuple[dict[Key, set[Key]], dict[Key, set[Key]]]:
    """The jobs that each job needs, and those that it feeds."""
    needs = {
        key: {key_of(job) for job in group[0].job.upstream if key_of(job) in by_job} for key, group in by_job.items()
    }
    feeds: dict[Key, set[Key]] = {key: set() for key in by_job}
    for key, upstream in needs.items():
        for one in upstream:
            feeds[one].add(key)
    return needs, feeds


def _chains(longest: dict[Key, float], feeds: dict[Key, set[Key]]) -> dict[Key, float]:
    """Seconds of the longest chain that begins with each job."""
    chains: dict[Key, float] = {}

    def length(key: Key) -> float:
        if key not in chains:
            chains[key] = longest[key] + max((length(other) for other in feeds[key]), default=0.0)
        return chains[key]

    for key in longest:
        length(key)
    return chains


def _run(
    by_job: dict[Key, list[Task]],
    needs: dict[Key, set[Key]],
    feeds: dict[Key, set[Key]],
    chains: dict[Key, float],
    gpus: int,
    cores: int,
) -> float:
    """The end of the last task. One that asks for more than there is takes all of it."""
    missing = {key: len(upstream) for key, upstream in needs.items()}
    open_tasks = {key: len(group) for key, group in by_job.items()}
    ready: list[tuple[float, int, Key, Task]] = []
    running: list[tuple[float, int, Key, int, int]] = []
    number, now, free_gpus, free_cores = 0, 0.0, gpus, cores

    def release(key: Key) -> None:
        nonlocal number
        for task in by_job[key]:
            number += 1
            heapq.heappush(ready, (-chains[key], number, key, task))

    for key, count in missing.items():
        if count == 0:
            release(key)
    while ready or running:
        waiting = []
        while ready:
            entry = heapq.heappop(ready)
            _, order, key, task = entry
            some_gpus, some_cores = min(task.gpus, gpus), min(task.cores, cores)
            if task.seconds_left == 0:
                some_gpus = some_cores = 0
            if some_gpus <= free_gpus and some_cores <= free_cores:
                free_gpus, free_cores = free_gpus - some_gpus, free_cores - some_cores
                heapq.heappush(running, (now + task.seconds_left, order, key, some_gpus, some_cores))
            else:
                waiting.append(entry)
        for entry in waiting:
            heapq.heappush(ready, entry)
        now, _, key, some_gpus, some_cores = heapq.heappop(running)
        free_gpus, free_cores = free_gpus + some_gpus, free_cores + some_cores
        open_tasks[key] -= 1
        if open_tasks[key] == 0:
            for other in feeds[key]:
                missing[other] -= 1
                if missing[other] == 0:
                    release(other)
    return now
