"""Sums and means over the processes of a training and over micro-batches: each has its own rows of the global batch."""

import time
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, distributed, nn

from bright_pipeline.training.batches import MicroBatch

ASK_S = 1.0  # between two steps at which processes ask each other whether to stop


def average_gradients(accelerator: Accelerator, module: nn.Module) -> None:
    """Average a module's gradients over processes, after the last backward pass of a step.

    A weight that no process used keeps no gradient. Unlike DDP this leaves the forward pass as it is, so losses may be
    split and differentiated twice.
    """
    if accelerator.num_processes == 1 or not distributed.is_initialized():
        return
    weights = [weight for weight in module.parameters() if weight.requires_grad]
    gradients = [torch.zeros_like(weight) if weight.grad is None else weight.grad for weight in weights]
    # And a flag for each weight that was used. All processes send the same length: otherwise they would wait forever.
    flags = weights[0].new_tensor([weight.grad is not None for weight in weights])
    flat = torch.cat([*(gradient.flatten() for gradient in gradients), flags])
    distributed.all_reduce(flat)
    *sums, users = flat.split([*(weight.numel() for weight in weights), len(weights)])
    for weight, gradient, total, used in zip(weights, gradients, sums, users > 0, strict=True):
        if used:
            weight.grad = gradient.copy_(total.view_as(weight) / accelerator.num_processes)


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
