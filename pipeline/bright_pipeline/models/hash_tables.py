"""Groups of multi-resolution hash tables (section 3.2, equations 1 to 4).

The C_z channels of a tiled key code are split into N_h unit keys of length C_key, one for each group of
tables. At pixel (i, j), counted from 1, a unit key becomes the query q = [key, x, y] with

    x = (i - 0.5) / H_d,   y = (j - 0.5) / W_d,

to which its group returns N_r interpolated features of C_v numbers. Without `coordinates` (an ablation) the query is
the key alone. `levels.py` has the geometry, `retrieval.py` the strategies.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from bright_pipeline.models.autoencoder import full_precision
from bright_pipeline.models.levels import GatherRetrieval, corners, make_levels
from bright_pipeline.models.retrieval import Retrieval, choose
from bright_pipeline.models.retrieval_separable import SeparableRetrieval
from bright_pipeline.settings.autoencoder import HashTables

INITIAL_RANGE = 1e-4  # as in instant-NGP: initial entries are uniform in ± this


class HashTableGroups(nn.Module):
    """N_h groups of N_r tables; `tables` (N_h, entries of all levels, C_v) is all its state."""

    def __init__(self, settings: HashTables, groups: int, feature_size: int):
        super().__init__()
        self.settings, self.groups, self.feature_size = settings, groups, feature_size
        self.levels = make_levels(settings)
        entries = sum(level.entries for level in self.levels)
        self.tables = nn.Parameter(torch.empty(groups, entries, settings.features_per_entry))
        nn.init.uniform_(self.tables, -INITIAL_RANGE, INITIAL_RANGE)
        # Without kernels, for every device: separable where C_key = 1, unless the config asks for gather.
        gather = settings.retrieval == "gather" or settings.key_length != 1 or not settings.coordinates
        self.fallback: Retrieval = (GatherRetrieval if gather else SeparableRetrieval)(self.levels, feature_size)
        self.strategies: dict[torch.device, Retrieval] = {}

    def strategy(self, keys: Tensor) -> Retrieval:
        """The retrieval strategy of the keys' device, chosen at its first use."""
        device = keys.device
        if device not in self.strategies:
            cpu_with_gpu_present = device.type != "cuda" and torch.cuda.is_available()
            given = (self.settings, self.fallback, self.feature_size, device)
            self.strategies[device] = self.fallback if cpu_with_gpu_present else choose(*given)
        return self.strategies[device]

    def retrieve(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) in [0, 1] -> (N, N_h, N_r C_v, H_d, W_d), in float32, also under autocast."""
        keys = self._unit_keys(tiled_code)
        with full_precision(tiled_code):
            features = self.strategy(keys)(self.tables.float(), keys)
            if self.settings.convention == "ngp":  # keys outside of [0, 1] read zeros
                features = features * ((keys >= 0) & (keys <= 1)).all(dim=2, keepdim=True)
            return features

    forward = retrieve

    def _unit_keys(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) -> (N, N_h, C_key, H_d, W_d)."""
        return tiled_code.float().unflatten(1, (self.groups, self.settings.key_length))

    def frozen(self) -> AbstractContextManager[None]:
        """A context in which the tables do not change, so that results that depend on them alone are cached."""
        return self.fallback.frozen() if isinstance(self.fallback, SeparableRetrieval) else nullcontext()

    @torch.no_grad()
    def count_hits(self, tiled_code: Tensor, level: int) -> Tensor:
        """How often each entry of a level is read with a weight above zero (Fig. 5b): (N_h, entries)."""
        geometry = self.levels[level]
        read = (corners(geometry, keys, self.feature_size) for keys in self._unit_keys(tiled_code).split(1, dim=1))
        return torch.stack([torch.bincount(at[weights > 0], minlength=geometry.entries) for at, weights in read])

    @torch.no_grad()
    def reachable_entries(self, level: int) -> Tensor:
        """The entries of a level that some key in [0, 1] reads with a weight above zero: (entries,) bool."""
        geometry = self.levels[level]
        cell, weight = geometry.pixel_cells(self.feature_size)
        pixel_nodes = torch.unique(torch.cat([cell, cell[weight > 0] + 1]))
        coordinates = [pixel_nodes] * (geometry.dimensions - self.settings.key_length)
        # the largest position, scale + 0.5, reads the node above its cell unless it is on a node
        last = geometry.cells - 1 + int(geometry.scale + 0.5 > geometry.cells - 1)
        key_nodes = torch.arange(last + 1, device="cpu")
        reachable = torch.zeros(geometry.entries, dtype=torch.bool, device="cpu")
        nodes = torch.meshgrid(*[key_nodes] * self.settings.key_length, *coordinates, indexing="ij")
        reachable[geometry.index(list(nodes)).reshape(-1)] = True
        return reachable
