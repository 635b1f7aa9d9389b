"""Sums and means over the processes of a training and over micro-batches: each has its own rows of the global batch."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn

from bright_pipeline.training.batches import MicroBatch

ASK_S = 1.0  # between two steps at which processes ask each other whether to stop
BUCKET = 25 * 2**20  # bytes of gradients that are sent at once, as in DDP


class _Buckets:
    """Gradients of a module in buckets; each is summed over processes as soon as all of its gradients are ready.

    All processes send buckets in the same order, the last weights first, which is about the order of a backward pass.
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
        self.bucket_of = {weight: number for number, bucket in enumerate(self.buckets) for weight in bucket}
        self.waiting = [len(bucket) for bucket in self.buckets]
        self.sent: list[tuple[list[nn.Parameter], Tensor, Any]] = []

    def ready(self, weight: Tensor) -> None:
        """Called when the gradient of a weight is complete."""
        self.waiting[self.bucket_of[weight]] -= 1
        while len(self.sent) < len(self.buckets) and self.waiting[len(self.sent)] == 0:
            self._send()

    def _send(self) -> None:
        """Send the next bucket: the gradients (zero for unused weights), then a flag for each weight that was used.

        Its length is the same in all processes: another length would make them wait for each other forever.
        """
        weights = self.buckets[len(self.sent)]
        gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
        used = weights[0].new_tensor([weight.grad is not None for weight in weights])
        flat = torch.cat([*(gradient.flatten() for gradient in gradients), used])
        self.sent.append((weights, flat, distributed.all_reduce(flat, async_op=True)))

    def finish(self, processes: int) -> None:
        """Wait for all sums, and replace the gradients by their means; a weight that no process used keeps none."""
        while len(self.sent) < len(self.buckets):
            self._send()
        for weights, flat, work in self.sent:
            work.wait()
            *sums, used = flat.split([*(weight.numel() for weight in weights), len(weights)])
            for weight, total, users in zip(weights, sums, used, strict=True):
                if weight.grad is None and users > 0:
                    weight.grad = torch.empty_like(weight)
                if weight.grad is not None:
                    weight.grad.copy_(total.view_as(weight) / processes)


@contextmanager
def averaged_gradients(accelerator: Accelerator, module: nn.Module) -> Iterator[None]:
    """Around the last backward pass of a step: averages a module's gradients over processes while the pass runs.

    Unlike DDP it does not touch the forward pass, so losses may be split and differentiated twice.
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
    """A step's numbers over the whole global batch, from each process's means over its own rows."""
    means = accelerator.reduce(torch.stack([value.double() for value in numbers.values()]), "mean")
    return dict(zip(numbers, means.unbind(), strict=True))


def weighted_means(numbers: Sequence[dict[str, Tensor]], batch: Sequence[MicroBatch]) -> dict[str, Tensor]:
    """A step's numbers over this process's rows, from the means over each micro-batch."""
    if len(numbers) == 1:
        return dict(numbers[0])
    pairs = list(zip(numbers, batch, strict=True))
    return {key: torch.stack([part.weight * means[key] for means, part in pairs]).sum(0) for key in numbers[0]}


def batch_gradient_norm(accelerator: Accelerator, gradients: Sequence[Tensor]) -> Tensor:
    """The norm of a gradient at the images of the whole global batch, up to a factor that all such norms share.

    gradients: at the images of each micro-batch of this process.
    """
    if accelerator.num_processes == 1 and len(gradients) == 1:
        return gradients[0].norm()
    squares = torch.stack([gradient.square().sum() for gradient in gradients]).sum()
    return accelerator.reduce(squares, "sum").sqrt()


class EndRequests:
    """Whether a process of a training was asked to end. All processes agree on the step, so none waits for another.

    Asking makes processes wait for each other and for their devices, so it happens about once a second, not at every
    step. Each time they agree on the number of steps until the next time, from the pace since the last. It is at most
    twice the number before: a training whose first steps were fast still asks soon when its steps become slow.
    """

    def __init__(self, accelerator: Accelerator):
        self.accelerator = accelerator
        self.ask_at = 0
        self.asked: tuple[int, float] | None = None

    def should_stop(self, done: int, asked_here: bool) -> bool:
        """After step `done`: whether to end now."""
        if self.accelerator.num_processes == 1:
            return asked_here
        if done < self.ask_at:
            return False
        now, steps = time.monotonic(), 1
        if self.asked is not None:
            passed = done - self.asked[0]
            steps = max(1, min(2 * passed, int(ASK_S * passed / max(now - self.asked[1], 1e-9))))
        message = torch.tensor([float(asked_here), float(steps)], device=self.accelerator.device)
        ending, agreed = self.accelerator.reduce(message, "sum").tolist()
        self.asked, self.ask_at = (done, now), done + int(agreed) // self.accelerator.num_processes
        return bool(ending > 0)
