"""The moving average of a model's weights: what all that follows is made with."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

Weights = Iterable[nn.Parameter]


class WeightAverage:
    """a <- a - (1 - d) (a - w) for each weight w at each step, as diffusers' EMAModel has it, on a CPU to the bit.

    d is 0 at step 0, and (1 + n) / (10 + n) at step n until that is `decay`: first values are soon forgotten.
    """

    def __init__(self, weights: Weights, decay: float):
        self.weights = [weight.detach().clone() for weight in weights]
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def step(self, weights: Weights) -> None:
        """The weights have moved."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 0.0
        self.steps += 1
        if self.weights[0].device.type == "cpu":
            for average, weight in zip(self.weights, weights, strict=True):
                average.sub_((1 - decay) * (average - weight))
        else:  # in one kernel, where a kernel takes longer to start than to run
            torch._foreach_lerp_(self.weights, list(weights), 1 - decay)

    @torch.no_grad()
    def copy_to(self, weights: Weights) -> None:
        """Give a model the averages for its weights."""
        for average, weight in zip(self.weights, weights, strict=True):
            weight.copy_(average)

    @contextmanager
    def lent_to(self, weights: Weights) -> Iterator[None]:
        """A model has the averages inside the `with` block, and its own weights again behind it."""
        kept = WeightAverage(weights := list(weights), 0.0)
        self.copy_to(weights)
        try:
            yield
        finally:
            kept.copy_to(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"decay": self.decay, "steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave; tensors stay on the device that they are on."""
        self.decay, self.steps = state["decay"], state["steps"]
        saved: list[Tensor] = state["weights"]
        for average, one in zip(self.weights, saved, strict=True):
            average.copy_(one)
