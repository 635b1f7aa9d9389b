"""Retrieval by its definition, for any C_key: the readable reference (section 3.2, equation 4).

A query reads the M = 2^(C_key + 2) corners of its cell at each resolution; F_inp is their weighted sum.
"""

import itertools
import math

import torch
from torch import Tensor

from pipeline.models.levels import Level


def corners(level: Level, code: Tensor, feature_size: int) -> tuple[Tensor, Tensor]:
    """Entries and weights of every query's corners at one level.

    code: (N, N_h, C_key, H_d, W_d), unit keys in [0, 1]; returns two tensors (N, N_h, H_d, W_d, M).
    """
    cells, weights = level.key_cells(code.movedim(2, 0)[..., None])
    low, high_weight = list(cells.unbind(0)), list(weights.unbind(0))
    if level.dimensions > len(low):
        pixel_cell, pixel_weight = (part.to(code.device) for part in level.pixel_cells(feature_size))
        pixel_weight = pixel_weight.to(code.dtype)
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
