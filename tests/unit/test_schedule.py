"""List scheduling: no plan beats its longest chain or its work, and none is worse than Graham's bound."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.estimation.schedule import schedule
from pipeline.estimation.tasks import Task


@dataclass(frozen=True, eq=False)
class FakeJob:
    digest: str
    upstream: tuple["FakeJob", ...] = field(default=())
    stage: str = "train"


def task(job: Any, seconds: float, gpus: int = 1, cores: int = 1) -> Task:
    return Task(job, job.digest, (), seconds, 1.0, "estimated", gpus, cores, 0.0)


@st.composite
def graphs(draw: st.DrawFn) -> list[Task]:
    """Jobs that need some of the jobs before them, each of one or two tasks."""
    jobs: list[FakeJob] = []
    tasks: list[Task] = []
    for number in range(draw(st.integers(1, 12))):
        upstream = tuple(job for job in jobs if draw(st.integers(0, 3)) == 0)
        jobs.append(FakeJob(str(number), upstream))
        tasks += [task(jobs[-1], draw(st.integers(0, 50))) for _ in range(draw(st.integers(1, 2)))]
    return tasks


@given(graphs(), st.integers(1, 4))
def test_the_wall_time_lies_between_its_bounds(tasks: list[Task], gpus: int) -> None:
    found = schedule(tasks, gpus, cores=100)
    work = sum(one.seconds for one in tasks)
    assert max(found.longest_chain_s, work / gpus) <= found.seconds + 1e-9
    assert found.seconds <= work / gpus + found.longest_chain_s * (1 - 1 / gpus) + 1e-9
    # The chain that is named is one, and as long as it says.
    assert all(one in other.upstream for one, other in zip(found.chain, found.chain[1:], strict=False))
    longest = {job: max(one.seconds for one in tasks if one.job is job) for job in found.chain}
    assert sum(longest.values()) == pytest.approx(found.longest_chain_s)


def test_one_gpu_takes_everything_in_turn_and_cores_limit_too() -> None:
    jobs = [FakeJob(str(number)) for number in range(4)]
    assert schedule([task(job, 10) for job in jobs], 1, 8).seconds == 40
    assert schedule([task(job, 10) for job in jobs], 4, 8).seconds == 10
    assert schedule([task(job, 10, gpus=0, cores=3) for job in jobs], 4, 8).seconds == 20


def test_the_longest_chain_starts_first() -> None:
    """Short jobs first would take 12 + 10; the chain of two first takes 20."""
    first = FakeJob("a")
    tasks = [task(FakeJob("b"), 2), task(FakeJob("c"), 10), task(first, 10), task(FakeJob("d", (first,)), 10)]
    assert schedule(tasks, 2, 8).seconds == 20


def test_a_job_that_asks_for_more_than_there_is_takes_all_of_it() -> None:
    assert schedule([task(FakeJob("a"), 5, gpus=8), task(FakeJob("b"), 5)], 2, 8).seconds == 10


def test_nothing_left_takes_no_time() -> None:
    assert schedule([], 1, 1).seconds == 0
