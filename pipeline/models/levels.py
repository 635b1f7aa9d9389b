"""The levels of a multi-resolution hash table: geometry and entries (section 3.2, appendix E.1).

A query q = [key..., x, y] in [0, 1]^D, D = C_key + 2, is read at N_r resolutions r_l, from r_min to r_max:

    r_l = ceil(r_min b^l),   b = (r_max / r_min)^(1 / (N_r - 1)),   scale_l = r_min b^l - 1
    position p = scale_l q + 0.5,   cell = floor(p),   weight = p - cell        in every dimension

A level is a grid of n nodes per dimension whose entries lie in one row: dimension 0 (the key) varies fastest.
It is dense where n^D entries fit into 2^T, else hashed. Two conventions differ in n:

- `tcnn` (tiny-cuda-nn's own, and the formula of appendix E.1): n = r_l. A position near 1 reads one node past
  the row: into the next row, at the end into the padding, then entry 0.
- `ngp` (the counts that Tables 3, 7 and 8 print): n = r_l + 1, and nothing is read past a row.
"""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Convention = Literal["tcnn", "ngp"]

PRIMES = (1, 2654435761, 805459861, 3674653429)  # instant-NGP's spatial hash, one prime per dimension
UINT32 = 0xFFFFFFFF
SNAP = 1e-9  # a pixel's position this close to a node lies on it: doubles miss integers by less


@dataclass(frozen=True)
class Level:
    """One resolution of a group: `entries` entries from `offset` on in the group's row of entries."""

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
        """Cells per dimension that inputs in [0, 1] fall into; they read nodes 0 to `cells`."""
        return math.floor(self.scale + 0.5) + 1

    def of(self, tables: Tensor) -> Tensor:
        """This level's part of tables (N_h, entries of all levels, C_v)."""
        return tables[:, self.offset : self.offset + self.entries]

    def index(self, nodes: list[Tensor]) -> Tensor:
        """Entries of grid nodes: one int64 tensor of node numbers per dimension, which broadcast."""
        if self.hashed:
            hashes = [(node * prime) & UINT32 for node, prime in zip(nodes, PRIMES, strict=False)]
            total = hashes[0]
            for value in hashes[1:]:
                total = total ^ value
        else:
            total = nodes[0]
            for dimension, node in enumerate(nodes[1:], start=1):
                total = total + node * self.nodes**dimension
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


def level_resolution(level: int, resolutions: int, coarsest: int, finest: int) -> int:
    """r_l = ceil(r_min (r_max / r_min)^(l / (N_r - 1))), in integers: floats miss by one at 4 to 32."""
    steps = max(resolutions - 1, 1)
    power = coarsest ** (steps - level) * finest**level
    guess = round(_growth(level, resolutions, coarsest, finest))
    return next(r for r in range(max(guess - 1, 1), guess + 3) if r**steps >= power)


def _growth(level: int, resolutions: int, coarsest: int, finest: int) -> float:
    """r_min b^l as a float; exact where it is an integer."""
    steps = max(resolutions - 1, 1)
    value = coarsest * (finest / coarsest) ** (level / steps)
    whole = round(value)
    return float(whole) if whole**steps == coarsest ** (steps - level) * finest**level else value


def make_levels(
    resolutions: int, coarsest: int, finest: int, dimensions: int, entries_log2: int, convention: Convention
) -> tuple[Level, ...]:
    """The N_r levels of a group, coarsest first."""
    levels: list[Level] = []
    offset = 0
    for number in range(resolutions):
        resolution = level_resolution(number, resolutions, coarsest, finest)
        nodes = resolution if convention == "tcnn" else resolution + 1
        entries = min(-(-(nodes**dimensions) // 8) * 8, 2**entries_log2)
        scale = _growth(number, resolutions, coarsest, finest) - 1.0
        levels.append(Level(resolution, scale, nodes, dimensions, entries, offset))
        offset += entries
    return tuple(levels)
