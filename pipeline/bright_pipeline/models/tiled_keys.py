"""BRIGHT without hash tables, an ablation of section 3.2 (`features: mlp`)."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class TiledKeys(nn.Module):
    """In place of the tables: F_mlp reads the tiled key instead of features.

    Equation 2 becomes f_ij = F_mlp([z_ij; x; y]). An MLP of three layers reads the C_z channels of the tiled key at
    pixel (i, j), with the coordinates of equation 1 unless `tables.coordinates` is off. It returns the C_d numbers of
    all groups. Its hidden layers are as wide as those of all groups together, N_h x `tables.hidden_width`. This module
    returns the MLP's input, and has no weights and no entries.
    """

    def __init__(self, feature_size: int, coordinates: bool):
        super().__init__()
        self.coordinates = coordinates
        centers = (torch.arange(feature_size, device="cpu") + 0.5) / feature_size
        self.register_buffer("pixels", torch.stack(torch.meshgrid(centers, centers, indexing="ij")), persistent=False)

    def retrieve(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) in [0, 1] -> (N, 1, C_z + 2, H_d, W_d), or C_z numbers without coordinates."""
        if not self.coordinates:
            return tiled_code[:, None]
        pixels = self.get_buffer("pixels").to(tiled_code.dtype).expand(len(tiled_code), -1, -1, -1)
        return torch.cat([tiled_code, pixels], dim=1)[:, None]

    def frozen(self) -> AbstractContextManager[None]:
        return nullcontext()

    def count_hits(self, tiled_code: Tensor, level: int) -> Tensor:
        return torch.zeros(0, 0)

    def reachable_entries(self, level: int) -> Tensor:
        return torch.zeros(0, dtype=torch.bool)
