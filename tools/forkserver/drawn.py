"""What is drawn before a fork or not at all: the first figure, and weights that are replaced at once."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lpips.pretrained_networks
import torch
from matplotlib.figure import Figure
from torchvision import models


def undrawn(make: Callable[..., torch.nn.Module]) -> Callable[..., torch.nn.Module]:
    """A function that makes a network whose weights are what the memory has."""

    def made(**options: Any) -> torch.nn.Module:
        with torch.device("meta"):
            network = make(**options)
        return network.to_empty(device="cpu")

    return made


def draw_no_weights() -> None:
    """Let LPIPS make its networks so, in this process: random weights of VGG16 take seconds."""
    networks = {name: undrawn(getattr(models, name)) for name in ("alexnet", "vgg16")}
    lpips.pretrained_networks.tv = SimpleNamespace(**networks)


def draw_a_figure() -> None:
    """Build the parsers and fill the caches of figures, which takes a second, once for all forks."""
    common = sys.modules["bright_pipeline.figures.common"]
    figure = Figure(layout="constrained")
    figure.subplots().set(title="a formula, $a_i$, which no figure has: its font is not for forks", xlabel="codes")
    with tempfile.TemporaryDirectory() as folder:
        common.save(figure, *(Path(folder) / name for name in ("figure.png", "figure.pdf", "dark.png")))
