"""Averaged weights (EMA), put in place for a moment."""

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers.training_utils import EMAModel
from torch import nn


@contextmanager
def averaged(average: EMAModel, module: nn.Module) -> Iterator[None]:
    """Inside the block the module has the averaged weights."""
    average.store(module.parameters())
    average.copy_to(module.parameters())
    try:
        yield
    finally:
        average.restore(module.parameters())
