"""BRIGHT without hash tables, an ablation of section 3.2: an MLP on the tiled key takes the place of the lookup.

Equation 2 becomes f_ij = F_mlp([z_ij; x; y]): one MLP of three layers reads the C_z channels of the tiled key at pixel
(i, j), with the coordinates of equation 1 unless `tables.coordinates` is off, and gives the C_d numbers that all groups
give together. Its hidden layers are as wide as those of all groups' F_mlp, N_h x `tables.hidden_width`.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn


class TiledKeys(nn.Module):
    """In the place of the groups of tables: what the MLP reads. It has no numbers of its own, and no entries."""

    def __init__(self, groups: int, feature_size: int, coordinates: bool):
        super().__init__()
        self.groups, self.coordinates = groups, coordinates
        centers = (torch.arange(feature_size, device="cpu") + 0.5) / feature_size
        self.register_buffer("pixels", torch.stack(torch.meshgrid(centers, centers, indexing="ij")), persistent=False)

    def retrieve(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) in [0, 1] -> (N, 1, C_z + 2, H_d, W_d), or C_z numbers without coordinates."""
        if not self.coordinates:
            return tiled_code[:, None]
        pixels = self.get_buffer("pixels").to(tiled_code.dtype).expand(len(tiled_code), -1, -1, -1)
        return torch.cat([tiled_code, pixels], dim=1)[:, None]

    def frozen(self) -> AbstractContextManager[None]:
        """There is nothing to keep."""
        return nullcontext()

    def count_hits(self, tiled_code: Tensor, level: int) -> Tensor:
        """No entries: (0, 0)."""
        return torch.zeros(0, 0)

    def reachable_entries(self, level: int) -> Tensor:
        """No entries: (0,)."""
        return torch.zeros(0, dtype=torch.bool)
