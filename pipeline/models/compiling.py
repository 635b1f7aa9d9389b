"""torch.compile of a model's networks (`execution.compile`): fewer and larger kernels, other roundings.

Never measured on a GPU: docs/gpus.md lists all such code.
Only trainings compile. Key codes and images are made by the networks as they are, so that they depend on weights alone.
"""

from collections.abc import Iterable

import torch
from torch import nn

from pipeline.base.errors import InputError, error_text

MOST_SHAPES = 64  # of one block's code, which all blocks share: resolutions, previews and validation have their own


def networks(model: nn.Module) -> Iterable[nn.Module]:
    """What of a model is compiled, each for itself: `compiled_parts` where it names them, else all of it."""
    return getattr(model, "compiled_parts", [model])


def compile_networks(model: nn.Module, device: torch.device, backend: str = "inductor") -> None:
    """From now on the model's networks are compiled when they are first called; InputError where that can't be."""
    import torch._dynamo.config
    import torch._functorch.config

    _check(device, backend)
    torch._dynamo.config.recompile_limit = MOST_SHAPES
    torch._functorch.config.donated_buffer = False  # VQGAN's adaptive weight goes back through one graph several times
    for network in networks(model):
        network.compile(dynamic=False, backend=backend)


def _check(device: torch.device, backend: str) -> None:
    """Compile a small function, as only a machine with its compilers can."""
    try:
        torch.compile(torch.sin, backend=backend)(torch.zeros(2, device=device))
    except Exception as error:  # whatever the compilers say
        raise InputError(
            f"execution.compile: torch.compile does not run on this machine ({error_text(error)}); leave it out, or"
            " install what it needs: a C++ compiler for CPUs, and Triton for GPUs"
        ) from None
