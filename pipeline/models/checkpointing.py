"""Activation checkpointing (Chen et al. 2016): the backward pass recomputes the activations inside a block.

A module whose class has `checkpointed` is such a block, and is called through `run`. The second call must give the same
numbers as the first, so random numbers are drawn outside the block.
"""

from typing import Any

import torch
from torch import nn


def enable_checkpointing(model: nn.Module) -> int:
    """From now on the model's blocks keep their inputs alone; returns the number of such blocks."""
    blocks = [module for module in model.modules() if hasattr(type(module), "checkpointed")]
    for block in blocks:
        block.checkpointed = True
    of_diffusers: list[Any] = [module for module in model.modules() if hasattr(module, "enable_gradient_checkpointing")]
    for network in of_diffusers:
        network.enable_gradient_checkpointing()
    return len(blocks) + len(of_diffusers)


def run(block: nn.Module, *inputs: Any, **options: Any) -> Any:
    """block(*inputs, **options), with the same bits with and without checkpointing."""
    if getattr(block, "checkpointed", False) and torch.is_grad_enabled():
        from torch.utils.checkpoint import checkpoint  # decoding does not need it

        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, **options)
    return block(*inputs, **options)
