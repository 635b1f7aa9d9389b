"""Retrieval by definition, for any C_key: the readable reference (section 3.2, equation 4).

A query reads the M = 2^(C_key + 2) corners of its cell at each resolution; F_inp is their weighted sum.
"""

import itertools
import math

import torch
from torch import Tensor

from pipeline.models.levels import Level


def corners(level: Level, code: Tensor, feature_size: int) -> tuple[Tensor, Tensor]:
    """Entries and weights of every query's corners at one level.

    code: (N, C_key, H_d, W_d), the unit keys of one group in [0, 1]; returns two tensors (N, H_d, W_d, M).
    """
    cells, weights = level.key_cells(code.movedim(1, 0))
    low, high_weight = list(cells.unbind(0)), list(weights.unbind(0))
    if level.dimensions > len(low):
        pixel_cell, pixel_weight = (part.to(code.device) for part in level.pixel_cells(feature_size))
        pixel_weight = pixel_weight.to(code.dtype)
        low += [pixel_cell[:, None], pixel_cell[None, :]]
        high_weight += [pixel_weight[:, None], pixel_weight[None, :]]
    entries, corner_weights = [], []
    for corner in itertools.product((0, 1), repeat=level.dimensions):
        entries.append(level.index([node + step for node, step in zip(low, corner, strict=True)]))
        corner_weights.append(math.prod(w if step else 1 - w for w, step in zip(high_weight, corner, strict=True)))
    return torch.stack(entries, -1), torch.stack(corner_weights, -1)


class GatherRetrieval:
    """The interpolated features of every unit key, from the corners of its cell."""

    name = "gather"

    def __init__(self, levels: tuple[Level, ...], feature_size: int):
        self.levels, self.feature_size = levels, feature_size

    def __call__(self, tables: Tensor, code: Tensor) -> Tensor:
        """As `hash_tables.Retrieval` says."""
        by_level = tables.split([level.entries for level in self.levels], dim=1)
        features = [
            torch.stack([self._level(level, table[group], code[:, group]) for group in range(len(table))], dim=1)
            for level, table in zip(self.levels, by_level, strict=True)
        ]
        return torch.cat(features, dim=-1).movedim(-1, 2)

    def _level(self, level: Level, table: Tensor, code: Tensor) -> Tensor:
        """One level of one group: (N, H_d, W_d, C_v)."""
        entries, weights = corners(level, code, self.feature_size)
        nodes = table.index_select(0, entries.view(-1)).view(*entries.shape, -1)
        return (nodes * weights[..., None]).sum(-2)
