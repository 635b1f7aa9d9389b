"""Activation checkpointing (Chen et al. 2016): what lies inside a block is not kept for the way back, but made again.

A module whose class has `recomputed` is such a block; whoever calls it does so by `run`. It must give the same numbers
when it is called again, so what it draws at random is drawn before.
"""

from typing import Any

import torch
from torch import nn


def recompute(model: nn.Module) -> int:
    """From now on a model's blocks keep their inputs alone; returns how many such blocks there are."""
    blocks = [module for module in model.modules() if hasattr(type(module), "recomputed")]
    for block in blocks:
        block.recomputed = True
    of_diffusers: list[Any] = [module for module in model.modules() if hasattr(module, "enable_gradient_checkpointing")]
    for network in of_diffusers:
        network.enable_gradient_checkpointing()
    return len(blocks) + len(of_diffusers)


def run(block: nn.Module, *inputs: Any, **options: Any) -> Any:
    """block(*inputs, **options), to the same bits whether or not what lies inside is kept."""
    if getattr(block, "recomputed", False) and torch.is_grad_enabled():
        from torch.utils.checkpoint import checkpoint  # which decoding has no use for

        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, **options)
    return block(*inputs, **options)
