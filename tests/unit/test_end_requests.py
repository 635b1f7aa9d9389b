"""Processes of a training hear at one step that one of them was asked to end, and ask about once a second."""

import threading
from typing import Any

import pytest
import torch

from pipeline.training import processes
from pipeline.training.processes import EndRequests

STEPS = 400


class Together:
    """Two processes as threads: `reduce` waits for the other one, as gloo and NCCL do."""

    num_processes = 2
    device = torch.device("cpu")

    def __init__(self) -> None:
        self.barrier = threading.Barrier(2, timeout=30)
        self.given: dict[int, torch.Tensor] = {}

    def reduce(self, told: torch.Tensor, how: str) -> torch.Tensor:
        assert how == "sum"
        self.given[threading.get_ident()] = told
        self.barrier.wait()
        total = torch.stack(list(self.given.values())).sum(0)
        self.barrier.wait()
        return total


class Clocks(threading.local):
    now = 0.0

    def monotonic(self) -> float:
        return self.now


Found = dict[str, tuple[list[int], int]]


def asked_steps(monkeypatch: pytest.MonkeyPatch, seconds: dict[str, Any], asked_at: int) -> Found:
    """At which steps each process asked, and the one at which it ended, where the first is asked to end in mid-step.

    seconds: what a step takes by each process's own clock, as a function of the step.
    """
    clocks, together = Clocks(), Together()
    found: Found = {}
    monkeypatch.setattr(processes, "time", clocks)

    def train(name: str) -> None:
        requests, asked = EndRequests(together), []  # type: ignore[arg-type]
        for done in range(1, STEPS + 1):
            clocks.now += seconds[name](done)
            if done >= requests.ask_at:
                asked.append(done)
            if requests.heard(done, asked_here=name == "first" and done >= asked_at):
                break
        found[name] = (asked, done)

    threads = [threading.Thread(target=train, args=(name,)) for name in seconds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_fast_steps_ask_about_once_a_second_and_all_end_at_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked_steps(monkeypatch, {"first": lambda _: 0.02, "second": lambda _: 0.021}, asked_at=300)
    (asked, ended), other = found["first"], found["second"]
    assert (asked, ended) == other
    assert 300 <= ended <= 300 + 50
    assert len(asked) < 20, "not at each of 300 steps, which take 6 seconds"


def test_slow_steps_ask_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    found = asked_steps(monkeypatch, {"first": lambda _: 5.0, "second": lambda _: 5.0}, asked_at=7)
    assert found == {name: (list(range(1, 8)), 7) for name in ("first", "second")}


def test_steps_that_slow_down_ask_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    pace = {name: lambda done: 0.01 if done <= 200 else 4.0 for name in ("first", "second")}
    asked, _ = asked_steps(monkeypatch, pace, asked_at=STEPS)["first"]
    late = [step for step in asked if step > 300]
    assert late == list(range(late[0], STEPS + 1))


def test_one_process_alone_hears_at_once() -> None:
    class Alone:
        num_processes = 1

    requests = EndRequests(Alone())  # type: ignore[arg-type]
    assert [requests.heard(done, asked_here=done >= 3) for done in range(1, 5)] == [False, False, True, True]
