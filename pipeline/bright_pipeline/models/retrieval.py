"""The choice of a retrieval strategy: by the config, else by a fixed rule.

`GatherRetrieval` is the definition. Every other strategy computes the same numbers, to rounding, from the same
tables. `auto` is a rule and not a timing, since two machines must not train one digest with different roundings.
"""

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from bright_pipeline.base.progress import logger
from bright_pipeline.models import retrieval_triton
from bright_pipeline.models.levels import GatherRetrieval, Level, make_levels
from bright_pipeline.settings.autoencoder import HashTables

TOLERANCE = 1e-4  # of the largest number, or of 1
NODE_SHARE = 1e-3  # of the keys may be within rounding of a node and have the gradient of its other side
SMALL_LOG2, LARGE_LOG2 = 12, 18  # the largest tables of the comparison; 18 is the paper's
TINYCUDANN_FEATURES = (1, 2, 4, 8)  # per level, that tiny-cuda-nn has kernels for
TINYCUDANN_KEY_LENGTHS = (1, 2)  # its grids have 2 to 4 dimensions, ours C_key + 2
ROUNDING = 2e-6  # of a power in tiny-cuda-nn: a GPU's exp2f, C's log2f times the level; whole exponents have none


class Retrieval(Protocol):
    """Tables (N_h, entries, C_v) and code (N, N_h, C_key, H_d, W_d) -> (N, N_h, N_r C_v, H_d, W_d)."""

    name: str

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor: ...


def unlike_tinycudann(settings: HashTables) -> str | None:
    """Why tiny-cuda-nn cannot read these tables on any machine; None if it can."""
    if settings.convention != "tcnn":
        return f"its tables follow the convention tcnn, not {settings.convention}"
    if settings.key_length not in TINYCUDANN_KEY_LENGTHS:
        return f"it has no grids for key_length {settings.key_length}"
    if not settings.coordinates:
        return "its queries have (x, y)"
    if settings.features_per_entry not in TINYCUDANN_FEATURES:
        return f"it has no kernels for features_per_entry {settings.features_per_entry}"
    levels = make_levels(settings)
    for error, verb in ((0, "has"), (-ROUNDING, "may have"), (ROUNDING, "may have")):
        for number, (level, nodes) in enumerate(zip(levels, tinycudann_nodes(levels, error), strict=True)):
            hashed_in_both = min(nodes, level.nodes) ** level.dimensions > level.entries
            if nodes != level.nodes and not hashed_in_both:
                return f"rounding in float32, it {verb} {nodes} nodes at level {number}, which has {level.nodes}"
    return None


def growth(levels: tuple[Level, ...]) -> float:
    """The factor b between the resolutions of two levels."""
    return ((levels[-1].scale + 1) / (levels[0].scale + 1)) ** (1 / max(len(levels) - 1, 1))


def tinycudann_nodes(levels: tuple[Level, ...], error: float = 0) -> list[int]:
    """Nodes per dimension of each level as tiny-cuda-nn computes them, in float32: the scale is r_min 2^(l log2 b) - 1.

    error: relative, of powers whose exponents are not whole. Powers and the logarithm are doubles, rounded: C's float32
    functions, which the package uses, nearly always give these numbers, and NumPy's often do not.
    """
    coarsest, log2 = np.float32(round(levels[0].scale + 1)), np.float32(math.log2(np.float32(growth(levels))))
    nodes = []
    for number in range(len(levels)):
        exponent = float(np.float32(number) * log2)
        power = np.float32(2**exponent * (1 + error * (abs(exponent - round(exponent)) > ROUNDING)))
        nodes.append(math.ceil(power * coarsest - np.float32(1)) + 1)
    return nodes


def without_tinycudann(settings: HashTables) -> str | None:
    """Why tiny-cuda-nn cannot read these tables here; None if it can."""
    if (problem := unlike_tinycudann(settings)) is not None:
        return problem
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    try:
        importlib.import_module("tinycudann")
    except ModuleNotFoundError:
        return "the package tinycudann is not installed (docs/tiny-cuda-nn.md)"
    except Exception as error:  # the package raises OSError or EnvironmentError without CUDA
        return f"the package tinycudann does not load ({error})"
    return None


class TinyCudaNNRetrieval:
    """The interpolated features of every unit key from the package's encoding, where it can run.

    The package stores its parameters flat in the order level, entry, feature, like one row of our tables. So our
    parameter replaces that of its encoding, and all strategies have one state dict. docs/tiny-cuda-nn.md has the
    installation. Never measured on a GPU: docs/gpus.md lists all such code.
    """

    name = "tinycudann"

    def __init__(self, levels: tuple[Level, ...], settings: HashTables, feature_size: int):
        self.feature_size = feature_size
        self.encoding: nn.Module = importlib.import_module("tinycudann").Encoding(
            n_input_dims=settings.key_length + 2,
            encoding_config={
                "otype": "HashGrid",
                "n_levels": len(levels),
                "n_features_per_level": settings.features_per_entry,
                "log2_hashmap_size": settings.entries_log2,
                "base_resolution": round(levels[0].scale + 1),
                "per_level_scale": growth(levels),
                "interpolation": "Linear",
            },
            dtype=torch.float32,
        )
        expected = sum(level.entries for level in levels) * settings.features_per_entry
        numbers = sum(parameter.numel() for parameter in self.encoding.parameters())
        if numbers != expected:
            raise RuntimeError(f"tinycudann has {numbers} numbers in a group's tables, expected {expected}")

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        batch, groups, _, height, width = code.shape
        axis = (torch.arange(self.feature_size, dtype=code.dtype, device=code.device) + 0.5) / self.feature_size
        x, y = torch.meshgrid(axis, axis, indexing="ij")
        pixels = torch.stack([x, y]).expand(batch, 2, height, width)
        features = []
        for group in range(groups):
            queries = torch.cat([code[:, group], pixels], dim=1).movedim(1, -1).flatten(0, 2)
            rows = functional_call(self.encoding, {"params": tables[group].reshape(-1)}, (queries,))
            features.append(rows.float().view(batch, height, width, -1).movedim(-1, 1))
        return torch.stack(features, dim=1)


class Kernels(NamedTuple):
    """A strategy with its own GPU kernels."""

    unavailable: Callable[[HashTables], str | None]  # why the kernels cannot run here; None if they can
    make: Callable[[tuple[Level, ...], HashTables, int], Retrieval]
    needs_self_test: bool  # whether they are compared with gather before their first use on a device


KERNELS = {
    "triton": Kernels(retrieval_triton.unavailable, retrieval_triton.TritonRetrieval, needs_self_test=True),
    "tinycudann": Kernels(without_tinycudann, TinyCudaNNRetrieval, needs_self_test=False),
}


def choose(settings: HashTables, fallback: Retrieval, feature_size: int, device: torch.device) -> Retrieval:
    """The configured strategy (`auto`: triton), or the fallback where it cannot run; one log line says why."""
    wanted = "triton" if settings.retrieval == "auto" else settings.retrieval
    if wanted not in KERNELS:
        return fallback
    kernels = KERNELS[wanted]
    problem = kernels.unavailable(settings)
    if problem is not None and settings.retrieval == "auto":
        return fallback
    if problem is None and kernels.needs_self_test:
        problem = difference(kernels, settings, feature_size, device)
    if problem is not None:
        logger.info("retrieval: %s in place of %s: %s", fallback.name, wanted, problem)
        return fallback
    return kernels.make(make_levels(settings), settings, feature_size)


def difference(kernels: Kernels, settings: HashTables, feature_size: int, device: torch.device) -> str | None:
    """How kernels differ from gather on `comparison_levels`, in values and gradients; None where they agree."""
    levels, random = comparison_levels(settings), torch.Generator().manual_seed(0)
    tables = torch.rand(2, sum(level.entries for level in levels), settings.features_per_entry, generator=random) - 0.5
    keys = torch.rand(2, 2, settings.key_length, feature_size, feature_size, generator=random)
    keys.view(-1)[::7], keys.view(-1)[::11] = 1, 0
    tables, keys = tables.to(device), keys.to(device)
    expected = differentiated(GatherRetrieval(levels, feature_size), tables, keys)
    try:
        computed = differentiated(kernels.make(levels, settings, feature_size), tables, keys)
    except Exception as error:  # no compiler on this machine, a driver too old for it, ...
        return f"it does not run here ({type(error).__name__}: {str(error).strip().partition(chr(10))[0]})"
    for name, ours, theirs in zip(("features", "tables' gradient", "keys' gradient"), computed, expected, strict=True):
        deviation, allowed = (ours - theirs).abs(), NODE_SHARE if name.startswith("keys") else 0
        close = deviation <= TOLERANCE * max(1.0, float(theirs.abs().max()))
        if float((~close).float().mean()) > allowed:
            return f"its {name} differ from gather's by up to {float(deviation.max()):.1e} on this card"
    return None


def comparison_levels(settings: HashTables) -> tuple[Level, ...]:
    """The model's levels with small, mostly hashed tables, and the paper's largest dense one, of 2^18 entries."""
    levels = make_levels(settings.model_copy(update={"entries_log2": min(settings.entries_log2, SMALL_LOG2)}))
    resolution = int(2 ** (LARGE_LOG2 / levels[0].dimensions)) - (settings.convention == "ngp")
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
