"""The levels of a multi-resolution hash table, and retrieval by its definition (section 3.2, appendix E.1).

A query q = [key..., x, y] in [0, 1]^D, D = C_key + 2 (C_key without coordinates), is read at N_r resolutions r_l, from
r_min to r_max:

    r_l = ceil(r_min b^l),   b = (r_max / r_min)^(1 / (N_r - 1)),   scale_l = r_min b^l - 1
    position p = scale_l q + 0.5,   cell = floor(p),   weight = p - cell        in every dimension

A level is a grid of n nodes per dimension, stored as one row of entries in which dimension 0 (the key) varies fastest.
It is dense where n^D entries fit into 2^T, else hashed. Two conventions differ in n:

- `tcnn` (tiny-cuda-nn's, and the formula of appendix E.1): n = r_l. A position near 1 reads one node past the row: in
  the next row, at the end in the padding, then entry 0.
- `ngp` (gives the counts that Tables 3, 7 and 8 print): n = r_l + 1, and no position reads past a row.

Retrieval by its definition, for any C_key, is the readable reference (equation 4): a query reads the M = 2^D corners of
its cell at each resolution; F_inp is their weighted sum.
"""

import itertools
import math
from dataclasses import dataclass
from functools import reduce
from operator import xor

import torch
from torch import Tensor

from bright_pipeline.settings.autoencoder import HashTables

# tiny-cuda-nn's spatial hash, one prime per dimension
PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437)
UINT32 = 0xFFFFFFFF
SNAP = 1e-9  # a pixel's position this close to a node is on it; rounding errors of doubles are smaller


@dataclass(frozen=True)
class Level:
    """One resolution of a group: `entries` entries, from `offset` on, of the group's row."""

    resolution: int
    scale: float
    nodes: int
    dimensions: int
    entries: int
    offset: int

    @property
    def hashed(self) -> bool:
        return self.nodes**self.dimensions > self.entries

    @property
    def cells(self) -> int:
        """Cells per dimension for inputs in [0, 1], which read nodes 0 to `cells`."""
        return math.floor(self.scale + 0.5) + 1

    def part(self, tables: Tensor) -> Tensor:
        """The entries of this level in tables (N_h, entries of all levels, C_v)."""
        return tables[:, self.offset : self.offset + self.entries]

    def index(self, nodes: list[Tensor]) -> Tensor:
        """Entries of grid nodes; nodes: an int64 tensor of node numbers per dimension, which broadcast."""
        if self.hashed:
            total = reduce(xor, ((node * prime) & UINT32 for node, prime in zip(nodes, PRIMES, strict=False)))
        else:
            total = torch.as_tensor(sum(node * self.nodes**dimension for dimension, node in enumerate(nodes)))
        return total % self.entries

    def key_cells(self, key: Tensor) -> tuple[Tensor, Tensor]:
        """Cell (int64) and interpolation weight of keys in [0, 1]; the weight carries the key's gradient."""
        position = key * self.scale + 0.5
        cell = position.detach().floor().clamp(0, self.cells - 1)
        return cell.long(), position - cell

    def pixel_cells(self, feature_size: int) -> tuple[Tensor, Tensor]:
        """Cell (int64) and weight (float64) of the coordinates (i - 0.5) / H_d, i = 1 to H_d."""
        coordinate = (torch.arange(feature_size, dtype=torch.float64, device="cpu") + 0.5) / feature_size
        position = coordinate * self.scale + 0.5
        nearest = position.round()
        position = torch.where((position - nearest).abs() < SNAP, nearest, position)
        cell = position.floor()
        return cell.long(), position - cell


def make_levels(settings: HashTables) -> tuple[Level, ...]:
    """The N_r levels of a group, coarsest first."""
    first, last, steps = settings.coarsest_resolution, settings.finest_resolution, max(settings.resolutions - 1, 1)
    levels: list[Level] = []
    for number in range(settings.resolutions):
        growth = first * (last / first) ** (number / steps)  # r_min b^l; floats miss integers, at 4 to 32 by one
        whole, power = round(growth), first ** (steps - number) * last**number
        resolution = whole if whole**steps >= power else whole + 1
        scale = (whole if whole**steps == power else growth) - 1.0
        nodes, dimensions = resolution + (settings.convention == "ngp"), settings.key_length + 2 * settings.coordinates
        entries = min(-(-(nodes**dimensions) // 8) * 8, 2**settings.entries_log2)
        offset = levels[-1].offset + levels[-1].entries if levels else 0
        levels.append(Level(resolution, scale, nodes, dimensions, entries, offset))
    return tuple(levels)


def corners(level: Level, code: Tensor, feature_size: int) -> tuple[Tensor, Tensor]:
    """Entries and weights, (N, N_h, H_d, W_d, M), of the corners of keys (N, N_h, C_key, H_d, W_d) in [0, 1]."""
    cells, weights = level.key_cells(code.movedim(2, 0)[..., None])
    low, high_weight = list(cells.unbind(0)), list(weights.unbind(0))
    if level.dimensions > len(low):
        pixel_cell, pixel_weight = level.pixel_cells(feature_size)
        pixel_weight = pixel_weight.to(code.dtype).to(code.device)  # in this order: MPS has no float64
        pixel_cell = pixel_cell.to(code.device)
        low += [pixel_cell[:, None, None], pixel_cell[None, :, None]]
        high_weight += [pixel_weight[:, None, None], pixel_weight[None, :, None]]
    steps = torch.tensor(list(itertools.product((0, 1), repeat=level.dimensions))).to(code.device).unbind(1)
    entries = level.index([node + step for node, step in zip(low, steps, strict=True)])
    return entries, math.prod(torch.where(step > 0, w, 1 - w) for w, step in zip(high_weight, steps, strict=True))


class GatherRetrieval:
    """The interpolated features of every unit key, from the corners of its cell."""

    name = "gather"

    def __init__(self, levels: tuple[Level, ...], feature_size: int):
        self.levels, self.feature_size = levels, feature_size

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        """See `retrieval.Retrieval`."""
        by_level = tables.split([level.entries for level in self.levels], dim=1)
        features = []
        for level, table in zip(self.levels, by_level, strict=True):
            entries, weights = corners(level, code, self.feature_size)
            first = torch.arange(len(table), device=code.device)[:, None, None, None] * level.entries  # of each group
            nodes = table.flatten(0, 1).index_select(0, (entries + first).view(-1)).view(*entries.shape, -1)
            features.append((nodes * weights[..., None]).sum(-2))  # (N, N_h, H_d, W_d, C_v)
        return torch.cat(features, dim=-1).movedim(-1, 2)
