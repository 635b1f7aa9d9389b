"""How a model's networks run in training: activation checkpointing and torch.compile.

Checkpointing (Chen et al. 2016): the backward pass recomputes the activations inside a block. A module whose class has
`checkpointed` is such a block, and is called through `run`. The second call must give the same numbers as the first, so
random numbers are drawn outside the block.

torch.compile (`execution.compile`): fewer and larger kernels, with different rounding. Never measured on a GPU:
docs/gpus.md lists all such code. Only trainings compile. Key codes and images come from uncompiled networks, so they
depend on the weights alone.
"""

from typing import Any

import torch
from torch import nn

from bright_pipeline.base.errors import InputError, error_text

MAX_SHAPES = 64  # compiled per class of blocks: each resolution, previews and validation have their own shapes


def enable_checkpointing(model: nn.Module) -> int:
    """From now on the model's blocks keep their inputs alone; returns the number of such blocks."""
    blocks = [module for module in model.modules() if hasattr(type(module), "checkpointed")]
    for block in blocks:
        block.checkpointed = True
    unets: list[Any] = [module for module in model.modules() if hasattr(module, "enable_gradient_checkpointing")]
    for unet in unets:  # of diffusers
        unet.enable_gradient_checkpointing()
    return len(blocks) + len(unets)


def run(block: nn.Module, *inputs: Any, **options: Any) -> Any:
    """block(*inputs, **options), with the same bits with and without checkpointing."""
    if getattr(block, "checkpointed", False) and torch.is_grad_enabled():
        from torch.utils.checkpoint import checkpoint  # decoding does not need it

        return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False, **options)
    return block(*inputs, **options)


def compile_networks(model: nn.Module, device: torch.device, backend: str = "inductor") -> None:
    """Compile the model's `compiled_parts`, or all of it, at their first call; InputError where that is impossible."""
    import torch._dynamo.config
    import torch._functorch.config

    try:  # a small function, to see whether this machine has the compilers
        torch.compile(torch.sin, backend=backend)(torch.zeros(2, device=device))
    except Exception as error:  # compilers raise many types
        problem = f"torch.compile does not run on this machine ({error_text(error)})"
        remedy = "leave it out, or install what it needs: a C++ compiler for CPUs, and Triton for GPUs"
        raise InputError(f"execution.compile: {problem}; {remedy}") from None
    torch._dynamo.config.recompile_limit = MAX_SHAPES
    torch._functorch.config.donated_buffer = False  # VQGAN's adaptive weight differentiates one graph several times
    for name in getattr(model, "compiled_parts", ("",)):
        part = model.get_submodule(name)
        for network in part if isinstance(part, nn.ModuleList) else [part]:
            network.compile(dynamic=False, backend=backend)
