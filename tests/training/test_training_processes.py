"""Processes of a training: gradients in buckets, sums over all rows, and requests to end that all hear at one step."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from bright_pipeline.training import processes
from bright_pipeline.training.processes import EndRequests, average_numbers, averaged_gradients, batch_gradient_norm
from torch import Tensor, distributed, nn


@pytest.fixture
def group() -> Iterator[None]:
    """A group of this process alone."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The sizes of what is sent, and what else happens, in their order; every sum is that of two equal processes."""
    found: list[Any] = []

    def doubled(flat: torch.Tensor, async_op: bool) -> Any:
        assert async_op
        found.append(flat.numel())
        flat *= 2
        return SimpleNamespace(wait=lambda: found.append("waits"))

    monkeypatch.setattr(processes.distributed, "all_reduce", doubled)
    monkeypatch.setattr(processes, "BUCKET", 150)  # bytes: a layer's weights and its bias, or about that
    return found


def layers(*widths: int) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(*[nn.Linear(one, other) for one, other in pairwise(widths)])


ALONE, TWO = (cast(Any, SimpleNamespace(num_processes=count)) for count in (1, 2))


def test_buckets_are_sent_from_the_last_layer_on_before_the_pass_has_ended(group: None, events: list[Any]) -> None:
    model = layers(4, 8, 8, 2)
    expected = torch.autograd.grad(model(torch.ones(3, 4)).sum(), list(model.parameters()))
    model[0].weight.register_hook(lambda gradient: events.append("first layer"))
    with averaged_gradients(TWO, model):
        model(torch.ones(3, 4)).sum().backward()
    sent = [event for event in events if isinstance(event, int)]
    assert sum(sent) == sum(weight.numel() + 1 for weight in model.parameters()), "and which weights were used"
    assert len(sent) > 1
    assert events.index("first layer") > 0, "nothing was sent before the pass came to the first layer"
    assert events.index("waits") > max(place for place, event in enumerate(events) if isinstance(event, int))
    for weight, gradient in zip(model.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_their_order_is_the_same_whatever_comes_first(group: None, events: list[Any]) -> None:
    """All processes must send the same buckets in turn, or their sums would be of different weights."""

    def sent(backwards: bool) -> list[int]:
        events.clear()
        one, other = layers(4, 8), layers(8, 2)
        model = nn.ModuleList([one, other])
        parts = [one(torch.ones(3, 4)).sum(), other(torch.ones(3, 8)).sum()]
        with averaged_gradients(TWO, model):
            for part in reversed(parts) if backwards else parts:
                part.backward()
        return [event for event in events if isinstance(event, int)]

    assert sent(backwards=True) == sent(backwards=False)


def test_unused_weights_are_left_out_and_earlier_parts_averaged_with_the_last(group: None, events: list[Any]) -> None:
    used, unused = layers(4, 2), layers(4, 2)
    model = nn.ModuleList([used, unused])
    used(torch.ones(1, 4)).sum().backward()  # an earlier part of the batch
    with averaged_gradients(TWO, model):
        used(torch.ones(2, 4)).sum().backward()
    assert all(weight.grad is None for weight in unused.parameters())
    assert torch.equal(used[0].bias.grad, torch.full((2,), 3.0))


def test_a_weight_that_one_process_uses_gets_the_same_mean_in_both(group: None, events: list[Any], monkeypatch) -> None:
    sent: list[Tensor] = []

    def gradients(uses_second: bool) -> list[Tensor | None]:
        """Of a process that uses the first of two layers alone, or both."""
        model, ones = layers(4, 8, 8), torch.ones(3, 4)
        with averaged_gradients(TWO, model):
            (model(ones) if uses_second else model[0](ones)).sum().backward()
        return [weight.grad for weight in model.parameters()]

    def sent_by_other(flat: Tensor, async_op: bool) -> Any:
        sent.append(flat.clone())
        return SimpleNamespace(wait=lambda: None)

    def summed(flat: Tensor, async_op: bool) -> Any:
        flat += sent.pop(0)
        return SimpleNamespace(wait=lambda: None)

    found = []
    for uses_second in (True, False):
        monkeypatch.setattr(processes.distributed, "all_reduce", sent_by_other)
        gradients(not uses_second)
        monkeypatch.setattr(processes.distributed, "all_reduce", summed)
        found.append(gradients(uses_second))
    for one, same in zip(*found, strict=True):
        torch.testing.assert_close(one, same)
    model = layers(4, 8, 8)
    halves = torch.autograd.grad(model(torch.ones(3, 4)).sum() / 2, list(model[1].parameters()))
    torch.testing.assert_close(found[0][2:], list(halves))


class Processes:
    """Stands in for accelerate in the first of several processes; `others`: what the others bring to a sum."""

    def __init__(self, *others: Tensor):
        self.others, self.num_processes = others, 1 + len(others)

    def reduce(self, own: Tensor, how: str) -> Tensor:
        total = torch.stack([own, *self.others]).sum(0)
        return total / self.num_processes if how == "mean" else total


@pytest.mark.parametrize("processes", [1, 3])
def test_the_norm_of_a_gradient_is_that_of_the_whole_batch(processes: int) -> None:
    whole = torch.randn(processes, 2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    others = [part.square().sum() for part in whole[1:]]
    torch.testing.assert_close(batch_gradient_norm(Processes(*others), [whole[0]]), whole.norm())  # type: ignore[arg-type]


def test_a_steps_numbers_are_means_over_the_processes() -> None:
    numbers = {"l2": torch.tensor(1.0), "adversarial": torch.tensor(-2.0)}
    found = average_numbers(Processes(torch.tensor([3.0, 0.0]).double()), numbers)  # type: ignore[arg-type]
    assert {name: float(value) for name, value in found.items()} == {"l2": 2.0, "adversarial": -1.0}


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


def asked_steps(monkeypatch: pytest.MonkeyPatch, seconds: Callable[[int], float], asked_at: int) -> list[int]:
    """The steps at which both processes asked, of which the first is asked to end in mid-step; they end at the last.

    seconds: what a step takes, as a function of the step; the second process's clock is a twentieth faster.
    """
    together, clock = Together(), threading.local()
    monkeypatch.setattr(processes, "time", SimpleNamespace(monotonic=lambda: getattr(clock, "now", 0.0)))

    def train(pace: float) -> list[int]:
        requests, asked, clock.now = EndRequests(together), [], 0.0  # type: ignore[arg-type]
        for done in range(1, STEPS + 1):
            clock.now += pace * seconds(done)
            if done >= requests.ask_at:
                asked.append(done)
            if requests.should_stop(done, asked_here=pace == 1.0 and done >= asked_at):
                break
        assert asked[-1] == done
        return asked

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(train, [1.0, 1.05])
    assert first == second
    return first


def test_fast_steps_ask_about_once_a_second_slow_ones_at_each(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = asked_steps(monkeypatch, lambda _: 0.02, asked_at=300)
    assert 300 <= asked[-1] <= 300 + 50 and len(asked) < 20, "not at each of 300 steps, which take 6 seconds"
    assert asked_steps(monkeypatch, lambda _: 5.0, asked_at=7) == list(range(1, 8))
    late = [step for step in asked_steps(monkeypatch, lambda done: 0.01 if done <= 200 else 4.0, STEPS) if step > 300]
    assert late == list(range(late[0], STEPS + 1)), "steps that slow down ask more often"


def test_one_process_alone_sends_nothing_and_hears_at_once(events: list[Any]) -> None:
    model = layers(4, 2)
    with averaged_gradients(ALONE, model):
        model(torch.ones(1, 4)).sum().backward()
    assert events == [] and model[0].bias.grad is not None
    requests = EndRequests(ALONE)
    assert [requests.should_stop(done, asked_here=done >= 3) for done in range(1, 5)] == [False, False, True, True]
