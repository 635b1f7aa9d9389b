"""The choice of a retrieval strategy: by the config, else by a fixed rule.

`retrieval_gather.py` is the definition. Every other strategy computes the same numbers, to rounding, from the same
tables. `auto` is a rule and not a timing, since two machines must not train one digest with different roundings.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pipeline.base.progress import logger
from pipeline.models import retrieval_tinycudann, retrieval_triton
from pipeline.models.levels import Level, make_levels
from pipeline.models.retrieval_gather import GatherRetrieval
from pipeline.models.retrieval_separable import SeparableRetrieval
from pipeline.settings.autoencoder import HashTables

TOLERANCE = 1e-4  # of the largest number, or of 1
NODE_SHARE = 1e-3  # of the keys may be within rounding of a node and have the gradient of its other side
SMALL_LOG2, LARGE_LOG2 = 12, 18  # the largest tables of the comparison; 18 is the paper's


class Retrieval(Protocol):
    """Tables (N_h, entries, C_v) and code (N, N_h, C_key, H_d, W_d) -> (N, N_h, N_r C_v, H_d, W_d)."""

    name: str

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor: ...


class Kernels(NamedTuple):
    """A strategy with its own GPU kernels."""

    unavailable: Callable[[HashTables], str | None]  # why the kernels cannot run here; None if they can
    make: Callable[[tuple[Level, ...], HashTables, int], Retrieval]
    compared: bool  # whether they are compared with gather before their first use on a device


KERNELS = {
    "triton": Kernels(
        lambda settings: retrieval_triton.unavailable(settings),
        lambda levels, settings, size: retrieval_triton.TritonRetrieval(levels, size),
        compared=True,
    ),
    "tinycudann": Kernels(
        lambda settings: retrieval_tinycudann.unavailable(settings),
        lambda levels, settings, size: retrieval_tinycudann.TinyCudaNNRetrieval(levels, settings, size),
        compared=False,
    ),
}


def torch_strategy(settings: HashTables, levels: tuple[Level, ...], feature_size: int) -> Retrieval:
    """The strategy without kernels, for every device: separable where C_key = 1, unless the config asks for gather."""
    gather = settings.retrieval == "gather" or settings.key_length != 1 or not settings.coordinates
    return (GatherRetrieval if gather else SeparableRetrieval)(levels, feature_size)


def choose(settings: HashTables, fallback: Retrieval, feature_size: int, device: torch.device) -> Retrieval:
    """The configured strategy (`auto`: triton), or the fallback where it cannot run; one log line says why."""
    wanted = "triton" if settings.retrieval == "auto" else settings.retrieval
    if wanted not in KERNELS:
        return fallback
    kernels = KERNELS[wanted]
    problem = kernels.unavailable(settings)
    if problem is not None and settings.retrieval == "auto":
        return fallback
    if problem is None and kernels.compared:
        problem = difference(kernels, settings, feature_size, device)
    if problem is not None:
        logger.info("retrieval: %s in place of %s: %s", fallback.name, wanted, problem)
        return fallback
    return kernels.make(make_levels(settings), settings, feature_size)


def unavailable_kernels() -> dict[str, str | None]:
    """Why each kind of kernels cannot read the paper's tables here; None where it can."""
    return {name: kernels.unavailable(HashTables()) for name, kernels in KERNELS.items()}


def difference(kernels: Kernels, settings: HashTables, feature_size: int, device: torch.device) -> str | None:
    """How kernels differ from gather on `comparison_levels`, in values and gradients; None where they agree."""
    levels, random = comparison_levels(settings), torch.Generator().manual_seed(0)
    tables = torch.rand(2, sum(level.entries for level in levels), settings.features_per_entry, generator=random) - 0.5
    keys = torch.rand(2, 2, settings.key_length, feature_size, feature_size, generator=random)
    keys.view(-1)[::7], keys.view(-1)[::11] = 1, 0
    tables, keys = tables.to(device), keys.to(device)
    expected = differentiated(GatherRetrieval(levels, feature_size), tables, keys)
    try:
        found = differentiated(kernels.make(levels, settings, feature_size), tables, keys)
    except Exception as error:  # no compiler on this machine, a driver too old for it, ...
        return f"it does not run here ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
    for name, ours, theirs in zip(("features", "tables' gradient", "keys' gradient"), found, expected, strict=True):
        deviation, allowed = (ours - theirs).abs(), NODE_SHARE if name.startswith("keys") else 0
        close = deviation <= TOLERANCE * max(1.0, float(theirs.abs().max()))
        if float((~close).float().mean()) > allowed:
            return f"its {name} differ from gather's by up to {float(deviation.max()):.1e} on this card"
    return None


def comparison_levels(settings: HashTables) -> tuple[Level, ...]:
    """The model's levels with small tables, most of them hashed, then the largest dense level of the paper's tables.

    With C_key = 1 that level has 64^3 = 2^18 entries.
    """
    levels = make_levels(settings.model_copy(update={"entries_log2": min(settings.entries_log2, SMALL_LOG2)}))
    nodes = int(2 ** (LARGE_LOG2 / levels[0].dimensions))
    resolution = nodes - (settings.convention == "ngp")
    grid = {"resolutions": 1, "coarsest_resolution": resolution, "finest_resolution": resolution}
    (dense,) = make_levels(settings.model_copy(update=grid | {"entries_log2": LARGE_LOG2}))
    return (*levels, replace(dense, offset=levels[-1].offset + levels[-1].entries))


def differentiated(strategy: Retrieval, tables: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features, and the gradients of tables and keys for upstream gradients that differ from feature to feature."""
    with torch.enable_grad():
        tables, keys = tables.detach().requires_grad_(), keys.detach().requires_grad_()
        features = strategy(tables, keys)
        upstream = torch.linspace(-0.5, 1, features.numel(), device=features.device).view_as(features)
        return (features.detach(), *torch.autograd.grad(features, (tables, keys), upstream))
