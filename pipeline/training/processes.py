"""Sums over the processes of a training: each has its own rows of the global batch."""

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


def batch_norm(accelerator: Accelerator, gradient: Tensor) -> Tensor:
    """The norm of a gradient with respect to the images of the whole global batch, up to a factor that all share."""
    if accelerator.num_processes == 1:
        return gradient.norm()
    return accelerator.reduce(gradient.square().sum(), "sum").sqrt()
