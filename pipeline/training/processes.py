"""Sums over the processes of a training, and over parts of a batch: each has its own rows of the global batch."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn

ASK_S = 1.0  # between two moments at which processes ask one another whether to end
BUCKET = 25 * 2**20  # bytes of gradients that are sent at once, as DDP has it


class _Buckets:
    """Gradients of a module in buckets; each is summed over processes once all of its gradients are there.

    Buckets are sent in one order, that of the last weights first, which is about that of a backward pass.
    """

    def __init__(self, weights: Sequence[nn.Parameter]):
        self.buckets: list[list[nn.Parameter]] = [[]]
        room = BUCKET
        for weight in reversed(weights):
            if room < 0:
                self.buckets.append([])
                room = BUCKET
            self.buckets[-1].append(weight)
            room -= weight.numel() * weight.element_size()
        self.place = {weight: number for number, bucket in enumerate(self.buckets) for weight in bucket}
        self.waiting = [len(bucket) for bucket in self.buckets]
        self.sent: list[tuple[list[Tensor], Tensor, Any]] = []

    def ready(self, weight: Tensor) -> None:
        """Its gradient is there."""
        self.waiting[self.place[weight]] -= 1
        while len(self.sent) < len(self.buckets) and self.waiting[len(self.sent)] == 0:
            self._send()

    def _send(self) -> None:
        """The next bucket; a weight that took no part in any process has no gradient."""
        gradients = [weight.grad for weight in self.buckets[len(self.sent)] if weight.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients]) if gradients else torch.empty(0)
        self.sent.append((gradients, flat, distributed.all_reduce(flat, async_op=True) if gradients else None))

    def finish(self, processes: int) -> None:
        """Wait for all sums, and put the means in the place of the gradients."""
        while len(self.sent) < len(self.buckets):
            self._send()
        for gradients, flat, work in self.sent:
            if work is None:
                continue
            work.wait()
            flat /= processes
            for gradient, part in zip(gradients, flat.split([one.numel() for one in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))


@contextmanager
def averaged_gradients(accelerator: Accelerator, module: nn.Module) -> Iterator[None]:
    """Within it the last backward pass of a step: a module's gradients are averaged over processes while it runs.

    Other than DDP it has nothing to do with the forward pass, so that losses may be split, and differentiated twice.
    """
    if accelerator.num_processes == 1 or not distributed.is_initialized():
        yield
        return
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    buckets = _Buckets(weights)
    hooks = [weight.register_post_accumulate_grad_hook(buckets.ready) for weight in weights]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
    buckets.finish(accelerator.num_processes)


def average_numbers(accelerator: Accelerator, numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """A step's numbers over the whole global batch: each process has the means over its own rows."""
    means = accelerator.reduce(torch.stack([value.double() for value in numbers.values()]), "mean")
    return dict(zip(numbers, means.unbind(), strict=True))


def mean_numbers(numbers: Sequence[dict[str, Tensor]], shares: Sequence[float]) -> dict[str, Tensor]:
    """A step's numbers over this process's rows, from those of parts of them, whose shares add up to 1."""
    if len(numbers) == 1:
        return numbers[0]
    weighed = zip(numbers, shares, strict=True)
    scaled = [{key: share * value for key, value in own.items()} for own, share in weighed]
    return {key: torch.stack([own[key] for own in scaled]).sum(0) for key in scaled[0]}


def batch_norm(accelerator: Accelerator, gradients: Sequence[Tensor]) -> Tensor:
    """The norm of a gradient with respect to the images of the whole global batch, up to a factor that all share.

    gradients: with respect to the images of each part that this process sees at once.
    """
    if accelerator.num_processes == 1 and len(gradients) == 1:
        return gradients[0].norm()
    own = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    return accelerator.reduce(own, "sum").sqrt()


class EndRequests:
    """Whether any process of a training was asked to end: all hear of it at one step, or some would wait for others.

    To ask, processes wait for one another and for their devices, so it is done about once a second, not at every step.
    How many steps that is they agree on each time, from the pace since the last: at most twice as many as then, so that
    a training whose first steps were fast is not left without an answer in its slow ones for long.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.ask_at = 0
        self.asked: tuple[int, float] | None = None

    def heard(self, done: int, asked_here: bool) -> bool:
        """After step `done`: whether to end now."""
        if self.accelerator.num_processes == 1:
            return asked_here
        if done < self.ask_at:
            return False
        now, steps = time.monotonic(), 1
        if self.asked is not None:
            passed = done - self.asked[0]
            steps = max(1, min(2 * passed, int(ASK_S * passed / max(now - self.asked[1], 1e-9))))
        told = torch.tensor([float(asked_here), float(steps)], device=self.accelerator.device)
        ending, agreed = self.accelerator.reduce(told, "sum").tolist()
        self.asked, self.ask_at = (done, now), done + int(agreed) // self.accelerator.num_processes
        return bool(ending > 0)
