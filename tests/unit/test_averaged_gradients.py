"""Gradients are averaged over processes in buckets, while the backward pass runs."""

from collections.abc import Iterator
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed, nn

from pipeline.training import processes
from pipeline.training.processes import averaged_gradients


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


TWO: Any = SimpleNamespace(num_processes=2)


def test_buckets_are_sent_from_the_last_layer_on_before_the_pass_has_ended(group: None, events: list[Any]) -> None:
    model = layers(4, 8, 8, 2)
    expected = torch.autograd.grad(model(torch.ones(3, 4)).sum(), list(model.parameters()))
    model[0].weight.register_hook(lambda gradient: events.append("first layer"))
    with averaged_gradients(TWO, model):
        model(torch.ones(3, 4)).sum().backward()
    sent = [event for event in events if isinstance(event, int)]
    assert sum(sent) == sum(weight.numel() for weight in model.parameters())
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


def test_what_took_no_part_is_left_out_and_earlier_parts_are_averaged_with_the_last(
    group: None, events: list[Any]
) -> None:
    used, unused = layers(4, 2), layers(4, 2)
    model = nn.ModuleList([used, unused])
    used(torch.ones(1, 4)).sum().backward()  # an earlier part of the batch
    with averaged_gradients(TWO, model):
        used(torch.ones(2, 4)).sum().backward()
    assert all(weight.grad is None for weight in unused.parameters())
    assert torch.equal(used[0].bias.grad, torch.full((2,), 3.0))


def test_a_lone_process_sends_nothing(events: list[Any]) -> None:
    model = layers(4, 2)
    alone: Any = SimpleNamespace(num_processes=1)
    with averaged_gradients(alone, model):
        model(torch.ones(1, 4)).sum().backward()
    assert events == []
    assert model[0].bias.grad is not None
