"""Retrieval with Triton kernels: any C_key, both conventions, all groups and levels in one launch.

Triton comes with torch's CUDA builds. There is a kernel for the features, and one each for the gradients of tables and
keys. They are torch operators with known shapes, so that they can be counted, traced and compiled.

Many queries read one entry, and threads add their gradients in an order that changes. Integers make the sum independent
of the order: gradients are added in a unit so small that an entry's sum just fits into 63 bits.
Never measured on a GPU: docs/gpus.md lists all such code.
"""

from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from bright_pipeline.models.levels import PRIMES, Level
from bright_pipeline.settings.autoencoder import HashTables

TILE = 2048  # numbers in a tile (queries, corners, features): 16 for each of a program's 128 threads
SMALLEST_BLOCK = 16
SUM_BITS = 62
SMALLEST_EXPONENT = -60  # of the largest gradient, so that the unit and its inverse are finite floats


def unavailable(settings: HashTables) -> str | None:
    """Why the kernels can't run on a GPU here; None if they can."""
    if not settings.coordinates:
        return "its queries have (x, y)"
    if not torch.cuda.is_available():
        return "there is no CUDA device"
    if find_spec("triton") is None:
        return "the package triton is not installed (torch's CUDA builds for Linux bring it)"
    return None


def launch(
    kernel: str, over: tuple[int, ...], read: list[Tensor], keys: Tensor, geometry: list[Tensor], written: list[Tensor],
    entries: int, features: int, **widths: int,
) -> None:  # fmt: skip
    """Launch a kernel on blocks of queries; over: the rest of its grid.

    entries: of all levels of a group; features: C_v.
    """
    from bright_pipeline.models import triton_kernels  # needs Triton, which only torch's CUDA builds bring

    images, groups, length, height, width = keys.shape
    queries, dimensions, columns = images * height * width, length + 2, power_of_two(features)
    block = max(SMALLEST_BLOCK, TILE // (columns << dimensions))
    sizes = (queries, groups, height * width, width, entries, len(geometry[0]))
    constants = {"KEYS": length, "DIMENSIONS": dimensions, "CORNERS": 1 << dimensions, "BLOCK": block}
    constants |= {"FEATURES": features, "WIDTH": columns} | widths
    start = getattr(triton_kernels, kernel)[(-(-queries // block), *over)]
    # Fusing key x scale + 0.5 would round differently from torch, and near a node choose another cell.
    with torch.cuda.device_of(keys):
        start(*read, keys, *geometry, *written, *sizes, **constants, enable_fp_fusion=False)


def power_of_two(number: int) -> int:
    """The smallest power of two that is not below a number."""
    return 1 << (number - 1).bit_length()


@torch.library.custom_op("bright::retrieve", mutates_args=())
def retrieve(tables: Tensor, keys: Tensor, geometry: list[Tensor]) -> Tensor:
    """Features of keys, with the shapes of `retrieval.Retrieval`; geometry: `TritonRetrieval.geometry`."""
    groups, entries, features = tables.shape
    levels = len(geometry[0])
    output = keys.new_empty(len(keys), groups, levels * features, *keys.shape[-2:])
    launch("forward", (levels, groups), [tables], keys, geometry, [output], entries, features)
    return output


def tables_gradient(upstream: Tensor, keys: Tensor, geometry: list[Tensor], entries: int) -> Tensor:
    """The gradient of the tables (N_h, entries, C_v) from that of the features."""
    unit = sum_unit(upstream, keys.numel() // (keys.shape[1] * keys.shape[2]))
    return table_sums(upstream, unit, keys, geometry, entries) * unit


@torch.library.custom_op("bright::retrieve_table_sums", mutates_args=())
def table_sums(upstream: Tensor, unit: Tensor, keys: Tensor, geometry: list[Tensor], entries: int) -> Tensor:
    """The gradient of the tables as int64 multiples of the unit."""
    levels, groups = len(geometry[0]), keys.shape[1]
    features = upstream.shape[2] // levels
    sums = torch.zeros(groups, entries, features, dtype=torch.int64, device=keys.device)
    launch("tables_backward", (levels, groups), [upstream], keys, geometry, [unit, sums], entries, features)
    return sums


def sum_unit(upstream: Tensor, queries: int) -> Tensor:
    """The smallest power of two in whose multiples the sum over so many queries fits into 63 bits.

    The weights of a query sum to 1. Where an upstream gradient is not finite, unit and tables' gradients are NaN.
    """
    largest = torch.linalg.vector_norm(upstream, float("inf"))
    exponent = torch.frexp(largest).exponent.clamp(min=SMALLEST_EXPONENT) + (queries - 1).bit_length() - SUM_BITS
    return torch.where(largest.isfinite(), torch.ldexp(torch.ones_like(largest), exponent), torch.nan)


@torch.library.custom_op("bright::retrieve_keys_gradient", mutates_args=())
def keys_gradient(upstream: Tensor, tables: Tensor, keys: Tensor, geometry: list[Tensor]) -> Tensor:
    """The gradient of the keys from that of the features."""
    groups, entries, features = tables.shape
    gradient, wide = torch.empty_like(keys), power_of_two(keys.shape[2])
    read = [upstream, tables]
    launch("keys_backward", (groups,), read, keys, geometry, [gradient], entries, features, KEY_WIDTH=wide)
    return gradient


@retrieve.register_fake
def _(tables: Tensor, keys: Tensor, geometry: list[Tensor]) -> Tensor:
    return keys.new_empty(keys.shape[0], tables.shape[0], geometry[0].shape[0] * tables.shape[2], *keys.shape[-2:])


@table_sums.register_fake
def _(upstream: Tensor, unit: Tensor, keys: Tensor, geometry: list[Tensor], entries: int) -> Tensor:
    return keys.new_empty(keys.shape[1], entries, upstream.shape[2] // geometry[0].shape[0], dtype=torch.int64)


@keys_gradient.register_fake
def _(upstream: Tensor, tables: Tensor, keys: Tensor, geometry: list[Tensor]) -> Tensor:
    return torch.empty_like(keys)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    tables, keys, geometry = inputs
    ctx.save_for_backward(tables, keys, *geometry)


def _backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, list[None]]:
    if torch.is_grad_enabled():
        raise RuntimeError("retrieval: triton has no second derivatives; use gather")
    tables, keys, *geometry = ctx.saved_tensors
    upstream, (needs_tables, needs_keys, *_) = upstream.contiguous(), ctx.needs_input_grad
    gradient = tables_gradient(upstream, keys, geometry, tables.shape[1]) if needs_tables else None
    return gradient, keys_gradient(upstream, tables, keys, geometry) if needs_keys else None, [None] * len(geometry)


retrieve.register_autograd(_backward, setup_context=_keep)


class TritonRetrieval:
    """The interpolated features of every unit key from the kernels, where they are not `unavailable`."""

    name = "triton"

    def __init__(self, levels: tuple[Level, ...], settings: HashTables, feature_size: int):
        self.levels, self.feature_size = levels, feature_size
        self._geometry: dict[torch.device, list[Tensor]] = {}

    def geometry(self, device: torch.device) -> list[Tensor]:
        """The levels as tensors for the kernels (`triton_kernels.py`), made at the first use."""
        if device not in self._geometry:
            fields = [
                [level.cells - 1, level.entries, level.offset, int(level.hashed), *multipliers(level)]
                for level in self.levels
            ]
            scales = [level.scale for level in self.levels]
            cells, weights = zip(*(level.pixel_cells(self.feature_size) for level in self.levels), strict=True)
            parts = [torch.tensor(fields), torch.tensor(scales), torch.stack(cells), torch.stack(weights).float()]
            self._geometry[device] = [part.to(device) for part in parts]
        return self._geometry[device]

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        return retrieve(tables.contiguous(), code.contiguous(), self.geometry(tables.device))


def multipliers(level: Level) -> tuple[int, ...]:
    """The 32-bit multiplier of a node's number in each dimension: a prime, or the stride of a dense level."""
    if level.hashed:
        return PRIMES[: level.dimensions]
    return tuple(level.nodes**dimension for dimension in range(level.dimensions))
