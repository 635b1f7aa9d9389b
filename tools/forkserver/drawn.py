"""LPIPS without the random weights that are replaced as soon as they are drawn, which takes seconds for VGG16."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import lpips.pretrained_networks
import torch
from torchvision import models


def undrawn(make: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """A function that makes a network whose weights are what the memory has."""

    def made(**options: Any) -> torch.nn.Module:
        with torch.device("meta"):
            network = make(**options)
        return network.to_empty(device="cpu")

    return made


def draw_no_weights() -> None:
    """Let the package make its networks so, in this process."""
    networks = {name: undrawn(getattr(models, name)) for name in ("alexnet", "vgg16")}
    lpips.pretrained_networks.tv = SimpleNamespace(**networks)
