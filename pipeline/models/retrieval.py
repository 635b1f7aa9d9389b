"""Which strategy reads the tables: one of torch's on a CPU; on a GPU the one that is asked for, or the fastest there.

`retrieval_gather.py` is the definition; every other strategy gives the same numbers from the same tables.
"""

import math
import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from pipeline.base.progress import logger
from pipeline.models import retrieval_tinycudann, retrieval_triton
from pipeline.models.levels import Level, make_levels
from pipeline.models.retrieval_gather import GatherRetrieval
from pipeline.models.retrieval_separable import SeparableRetrieval
from pipeline.settings.autoencoder import HashTables

TIMED_S = 1.0  # for all strategies together, their first passes apart
MOST_PASSES = 50
TOLERANCE = 1e-4  # of the largest number, or of 1
AT_NODES = 1e-3  # of the keys may lie within rounding of a node, and take the slope of its other side
SMALL_LOG2 = 12


class Retrieval(Protocol):
    """Tables (N_h, entries, C_v) and code (N, N_h, C_key, H_d, W_d) -> (N, N_h, N_r C_v, H_d, W_d)."""

    name: str

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor: ...


class Kernels(NamedTuple):
    """A strategy that has kernels of its own for GPUs."""

    unavailable: Callable[[HashTables], str | None]
    """Why it can't be used here; None if it can."""
    make: Callable[[tuple[Level, ...], HashTables, int], Retrieval]
    compared: bool
    """Whether it is compared with gather on the card before its first use."""


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
    """The one that is asked for where it is one of torch alone, else the better one of those."""
    gather = settings.retrieval == "gather" or settings.key_length != 1 or not settings.coordinates
    return (GatherRetrieval if gather else SeparableRetrieval)(levels, feature_size)


def choose(settings: HashTables, of_torch: Retrieval, feature_size: int, tables: Tensor, keys: Tensor) -> Retrieval:
    """The strategy for keys like these on their device; `auto` times what can run there on these very keys."""
    found = [strategy for name in KERNELS if (strategy := _usable(name, settings, of_torch, feature_size, keys.device))]
    if settings.retrieval == "auto" and found:
        return fastest([*found, of_torch], lambda strategy: seconds(strategy, tables, keys))
    return found[0] if found else of_torch


def unavailable_kernels() -> dict[str, str | None]:
    """Why each of the kernels can't serve the paper's tables here; None where it can."""
    return {name: kernels.unavailable(HashTables()) for name, kernels in KERNELS.items()}


def _usable(
    name: str, settings: HashTables, of_torch: Retrieval, feature_size: int, device: torch.device
) -> Retrieval | None:
    """The strategy of this name, if it is asked for and can be used; else one line says why not."""
    if settings.retrieval not in (name, "auto"):
        return None
    kernels = KERNELS[name]
    problem = kernels.unavailable(settings)
    if problem is None and kernels.compared:
        problem = difference(kernels, settings, feature_size, device)
    elif problem is not None and settings.retrieval == "auto":
        return None
    if problem is not None:
        logger.info("retrieval: %s in place of %s: %s", of_torch.name, name, problem)
        return None
    return kernels.make(make_levels(settings), settings, feature_size)


def difference(kernels: Kernels, settings: HashTables, feature_size: int, device: torch.device) -> str | None:
    """Where a strategy differs from gather on a small random case; None where it does not."""
    small = settings.model_copy(update={"entries_log2": min(settings.entries_log2, SMALL_LOG2)})
    levels, random = make_levels(small), torch.Generator().manual_seed(0)
    tables = torch.rand(2, sum(level.entries for level in levels), small.features_per_entry, generator=random) - 0.5
    keys = torch.rand(2, 2, small.key_length, feature_size, feature_size, generator=random)
    keys.view(-1)[::7], keys.view(-1)[::11] = 1, 0
    given = (tables.to(device), keys.to(device))
    expected = differentiated(GatherRetrieval(levels, feature_size), *given)
    try:
        found = differentiated(kernels.make(levels, small, feature_size), *given)
    except Exception as error:  # no compiler on this machine, a driver too old for it, ...
        return f"it does not run here ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
    for name, ours, theirs in zip(("features", "tables' gradient", "keys' gradient"), found, expected, strict=True):
        off, allowed = (ours - theirs).abs(), AT_NODES if name.startswith("keys") else 0
        right = off <= TOLERANCE * max(1.0, float(theirs.abs().max()))
        if float((~right).float().mean()) > allowed:
            return f"its {name} differ from gather's by up to {float(off.max()):.1e} on this card"
    return None


def differentiated(strategy: Retrieval, tables: Tensor, keys: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Features, and the gradients of tables and keys for one that differs from feature to feature."""
    with torch.enable_grad():
        tables, keys = tables.detach().requires_grad_(), keys.detach().requires_grad_()
        features = strategy(tables, keys)
        upstream = torch.linspace(-0.5, 1, features.numel(), device=features.device).view_as(features)
        return (features.detach(), *torch.autograd.grad(features, (tables, keys), upstream))


def fastest(strategies: list[Retrieval], seconds: Callable[[Retrieval], float]) -> Retrieval:
    """The one whose passes take least time; one line says so."""
    taken = {strategy: seconds(strategy) for strategy in strategies}
    best = min(taken, key=lambda strategy: taken[strategy])
    times = ", ".join(f"{strategy.name} {1000 * value:.2f}" for strategy, value in taken.items())
    logger.info("retrieval: %s is the fastest here (milliseconds a pass: %s)", best.name, times)
    return best


def seconds(strategy: Retrieval, tables: Tensor, keys: Tensor) -> float:
    """The shortest of some passes, with the backward pass where gradients are wanted; infinite out of memory."""
    backward = torch.is_grad_enabled() and tables.requires_grad

    def one() -> object:
        return differentiated(strategy, tables, keys) if backward else strategy(tables, keys)

    passes: list[float] = []
    try:
        one()  # it compiles
        while len(passes) < MOST_PASSES and sum(passes) < TIMED_S / (len(KERNELS) + 1):
            started = _now(keys.device)
            one()
            passes.append(_now(keys.device) - started)
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
    return min(passes, default=math.inf)


def _now(device: torch.device) -> float:
    """Seconds, once the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
