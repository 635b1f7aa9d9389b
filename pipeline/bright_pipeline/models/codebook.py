"""Shared by families with a codebook: decoding indices, hits, and the codes at which unused entries restart.

An entry that is far from all codes is never the nearest, so nothing moves it until it restarts. A restart draws numbers
that are a function of (seed, step), from codes of all processes: all codebooks stay equal, whatever their number.
"""

from collections.abc import Sequence
from math import log2

import torch
from torch import Tensor, distributed

from bright_pipeline.models.autoencoder import Draws
from bright_pipeline.models.code_bits import CodeBits
from bright_pipeline.models.first_stage import FirstStageAutoencoder


class CodebookAutoencoder(FirstStageAutoencoder):
    """A first stage with a codebook: `indices` quantizes codes (N, C_z, H_z, W_z), and `codes_of` is its inverse."""

    @property
    def codebook_size(self) -> int:
        return self.settings.codebook.entries

    def decode(self, code: Tensor) -> Tensor:
        """Codes (N, C_z, H_z, W_z), quantized or not -> images (N, C, R, R)."""
        return self.decoder(self.codes_of(self.indices(code)))

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """The bits of the indices; RQ-VAE has several at a position."""
        height, width, _ = self.settings.code_size
        indices = height * width * getattr(getattr(self.settings, "codebook", None), "depth", 1)
        return CodeBits(indices * log2(self.codebook_size), "indices")

    def count_hits(self, codes: Tensor) -> Tensor:
        """How often each entry is chosen: (1, entries)."""
        return hits(self.indices(codes), self.codebook_size)[None]

    def reachable_entries(self) -> Tensor:
        """All entries (entries,): any can be the nearest."""
        return torch.ones(self.codebook_size, dtype=torch.bool)


def hits(indices: Tensor, entries: int) -> Tensor:
    """How often each entry (entries,) occurs in indices of any shape."""
    # Not torch.bincount, which makes the host wait for the device.
    counts = torch.zeros(entries, dtype=torch.int64, device=indices.device)
    return counts.scatter_add_(0, flat := indices.flatten(), torch.ones_like(flat))


def random_codes(codes: Tensor, count: int, random: Draws) -> Tensor:
    """Vectors (count, C_z) drawn from the whole batch; `codes` (local batch, positions, C_z) are this process's."""
    positions = codes.shape[1]
    drawn = random.shared_integers(random.batch * positions, count)
    rows = drawn // positions - random.rows.start
    is_local = (rows >= 0) & (rows < len(codes))
    chosen = codes[rows.clamp(0, len(codes) - 1), drawn % positions]
    return summed_over_processes(torch.where(is_local[:, None], chosen, 0))


def summed_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor over all processes, in place."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(values)
    return values
