"""Random numbers of one training step, a function of (seed, step) alone.

Nothing has to be saved to resume exactly, and neither the number of processes nor that of the parts in which they see
their share of a batch changes anything: each draws the numbers of the whole global batch and keeps its own rows.
"""

import copy

import torch
from torch import Tensor

from pipeline.base.seeds import seed_for

NUMBERLESS = ("meta", "fakegpu")
"""Devices whose tensors have no numbers, and which draw none (`pipeline.estimation.fake_gpu`)."""


class StepRandom:
    """Draws for step `step`; rows [first, first + local batch) of the global batch are this process's."""

    def __init__(self, seed: int, step: int, batch: int, device: torch.device, process: int = 0, processes: int = 1):
        drawn_on = "cpu" if device.type in NUMBERLESS else device
        self.generator = torch.Generator(drawn_on).manual_seed(seed_for(seed, "step", step))
        self.batch, self.device = batch, device
        self.rows = slice(process * batch // processes, (process + 1) * batch // processes)

    def parts(self, size: int | None) -> "list[StepRandom]":
        """What is drawn from here on, for `size` rows at a time, the last ones fewer; for all where it is None."""
        if size is None or size >= self.rows.stop - self.rows.start:
            return [self]
        found = []
        for first in range(self.rows.start, self.rows.stop, size):
            part = copy.copy(self)
            part.generator = torch.Generator(self.generator.device)
            part.generator.set_state(self.generator.get_state())
            part.rows = slice(first, min(first + size, self.rows.stop))
            found.append(part)
        return found

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """Standard normal numbers; shape[0] is the local batch."""
        return torch.randn((self.batch, *shape[1:]), generator=self.generator, device=self.device)[self.rows]

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        """Uniform numbers in [0, 1); shape[0] is the local batch."""
        return torch.rand((self.batch, *shape[1:]), generator=self.generator, device=self.device)[self.rows]

    def integers(self, below: int, shape: tuple[int, ...]) -> Tensor:
        """Integers in [0, below); shape[0] is the local batch."""
        drawn = torch.randint(below, (self.batch, *shape[1:]), generator=self.generator, device=self.device)
        return drawn[self.rows]

    def shared_integers(self, below: int, count: int) -> Tensor:
        """`count` integers in [0, below), the same in every process."""
        return torch.randint(below, (count,), generator=self.generator, device=self.device)
