"""The exponential moving average (EMA) of a model's weights, which every later stage uses."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

Weights = Iterable[nn.Parameter]


class EMA:
    """a <- a - (1 - d) (a - w) for each weight w at each step; on a CPU bit-identical to diffusers' EMAModel.

    d is 0 at step 0 and min(decay, (1 + n) / (10 + n)) at step n, so that the first values are soon forgotten.
    """

    def __init__(self, weights: Weights, decay: float):
        self.weights = [weight.detach().clone() for weight in weights]
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def step(self, weights: Weights) -> None:
        """Follow the model's weights after an optimizer step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 0.0
        self.steps += 1
        if self.weights[0].device.type == "cpu":
            for average, weight in zip(self.weights, weights, strict=True):
                average.sub_((1 - decay) * (average - weight))
        else:  # one kernel for all weights: on a GPU, starting a kernel takes longer than running it
            torch._foreach_lerp_(self.weights, list(weights), 1 - decay)

    @torch.no_grad()
    def copy_to(self, weights: Weights) -> None:
        """Replace a model's weights by their averages."""
        for average, weight in zip(self.weights, weights, strict=True):
            weight.copy_(average)

    @contextmanager
    def applied_to(self, weights: Weights) -> Iterator[None]:
        """Within the `with` block, the model has the averages; after it, its own weights again."""
        own = EMA(weights := list(weights), 0.0)
        self.copy_to(weights)
        try:
            yield
        finally:
            own.copy_to(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"decay": self.decay, "steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; tensors stay on their device."""
        self.decay, self.steps = state["decay"], state["steps"]
        for average, saved in zip(self.weights, state["weights"], strict=True):
            average.copy_(saved)
