"""Sums over the processes of a training, and over parts of a batch: each has its own rows of the global batch."""

from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn


def average_gradients(accelerator: Accelerator, module: nn.Module) -> None:
    """Average gradients over processes by hand: DDP's hooks don't suit double backward or split losses."""
    if accelerator.num_processes > 1:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        flat = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


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
