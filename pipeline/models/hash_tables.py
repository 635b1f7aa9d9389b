"""Groups of multi-resolution hash tables (section 3.2, equations 1 to 4).

The C_z channels of a tiled key code are split into N_h unit keys of length C_key, one for each group of
tables. At pixel (i, j), counted from 1, a unit key becomes the query q = [key, x, y] with

    x = (i - 0.5) / H_d,   y = (j - 0.5) / W_d,

which its group answers with N_r interpolated features of C_v numbers. `levels.py` has the geometry; the
`retrieval_*.py` strategies give the same numbers from the same tables.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from pipeline.base.progress import logger
from pipeline.models.levels import Convention, Level, level_resolution, make_levels
from pipeline.models.precision import full_precision
from pipeline.models.retrieval_gather import GatherRetrieval, corners
from pipeline.models.retrieval_separable import SeparableRetrieval
from pipeline.models.retrieval_tinycudann import TinyCudaNNRetrieval, unavailable

__all__ = ["HashTableGroups", "Level", "Retrieval", "level_resolution", "make_levels"]

Strategy = Literal["auto", "gather", "separable", "tinycudann"]

INITIAL_RANGE = 1e-4  # instant-NGP: entries start uniform in ± this


class Retrieval(Protocol):
    """Tables (N_h, entries, C_v) and code (N, N_h, C_key, H_d, W_d) -> (N, N_h, N_r C_v, H_d, W_d)."""

    name: str

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor: ...


class HashTableGroups(nn.Module):
    """N_h groups of N_r tables; `tables` (N_h, entries of all levels, C_v) is all its state."""

    def __init__(
        self,
        groups: int,
        key_length: int,
        resolutions: int,
        coarsest: int,
        finest: int,
        features_per_entry: int,
        entries_log2: int,
        convention: Convention,
        feature_size: int,
        retrieval: Strategy = "auto",
    ):
        super().__init__()
        self.groups, self.key_length, self.resolutions = groups, key_length, resolutions
        self.feature_size = feature_size
        self.entries_log2, self.convention = entries_log2, convention
        self.levels = make_levels(resolutions, coarsest, finest, key_length + 2, entries_log2, convention)
        entries = sum(level.entries for level in self.levels)
        self.tables = nn.Parameter(torch.empty(groups, entries, features_per_entry))
        nn.init.uniform_(self.tables, -INITIAL_RANGE, INITIAL_RANGE)
        self.retrieval = self._strategy(retrieval)
        plain = self.retrieval.name != "tinycudann"
        self.retrieval_off_cuda = self.retrieval if plain else self._plain("tinycudann")

    def _strategy(self, wanted: Strategy) -> Retrieval:
        if wanted in {"auto", "tinycudann"}:
            features = self.tables.shape[-1]
            problem = unavailable(self.key_length, features, self.convention)
            if problem is None:
                return TinyCudaNNRetrieval(self.levels, self.key_length, self.feature_size, features, self.entries_log2)
            if wanted == "tinycudann":
                logger.info("retrieval: %s in place of tinycudann: %s", self._plain(wanted).name, problem)
        return self._plain(wanted)

    def _plain(self, wanted: str) -> Retrieval:
        """The strategy that is asked for where it is one of torch alone, else the better one of those."""
        separable = wanted == "separable" or (wanted != "gather" and self.key_length == 1)
        kind = SeparableRetrieval if separable else GatherRetrieval
        return kind(self.levels, self.key_length, self.feature_size, self.convention)

    def retrieve(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) in [0, 1] -> (N, N_h, N_r C_v, H_d, W_d), in float32 whatever autocast says."""
        strategy = self.retrieval if tiled_code.is_cuda else self.retrieval_off_cuda
        with full_precision(tiled_code):
            return strategy(self.tables.float(), self._unit_keys(tiled_code))

    def _unit_keys(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) -> (N, N_h, C_key, H_d, W_d)."""
        return tiled_code.float().unflatten(1, (self.groups, self.key_length))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Within it the tables don't change, so that what depends on them alone is worked out once."""
        separable = {kind for kind in (self.retrieval, self.retrieval_off_cuda) if isinstance(kind, SeparableRetrieval)}
        try:
            with torch.no_grad():
                for strategy in separable:
                    strategy.grids = strategy.make_grids(self.tables.float())
                yield
        finally:
            for strategy in separable:
                strategy.grids = None

    @torch.no_grad()
    def count_hits(self, tiled_code: Tensor, level: int) -> Tensor:
        """How often each entry of a level is read with a weight above zero (Fig. 5b): (N_h, entries)."""
        geometry = self.levels[level]
        keys = self._unit_keys(tiled_code)
        counts = []
        for group in range(self.groups):
            entries, weights = corners(geometry, keys[:, group], self.feature_size)
            counts.append(torch.bincount(entries[weights > 0], minlength=geometry.entries))
        return torch.stack(counts)

    @torch.no_grad()
    def reachable_entries(self, level: int) -> Tensor:
        """The entries of a level that some key in [0, 1] reads with a weight above zero: (entries,) bool."""
        geometry = self.levels[level]
        cell, weight = geometry.pixel_cells(self.feature_size)
        pixel_nodes = torch.unique(torch.cat([cell, cell[weight > 0] + 1]))
        # a key reaches position scale + 0.5, which reads the node above its cell unless it lies on a node
        last = geometry.cells - 1 + int(geometry.scale + 0.5 > geometry.cells - 1)
        key_nodes = torch.arange(last + 1, device="cpu")
        reachable = torch.zeros(geometry.entries, dtype=torch.bool, device="cpu")
        dimensions = geometry.dimensions
        axes = [key_nodes] * self.key_length + [pixel_nodes] * 2
        shaped = [
            axis.view([-1 if place == dimension else 1 for place in range(dimensions)])
            for dimension, axis in enumerate(axes)
        ]
        reachable[geometry.index(shaped).reshape(-1)] = True
        return reachable
