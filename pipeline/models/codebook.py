"""What families with a codebook share: decoding indices, hits, and restarts of unused entries.

An entry far from all codes is never nearest, so nothing moves it. All that a restart draws is a function of
(seed, step), and what it looks at is what all processes hold together: the codebooks of all processes stay the same,
and those of a run in one process.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn

from pipeline.models import code_bits
from pipeline.models.autoencoder import Draws
from pipeline.models.code_bits import CodeBits
from pipeline.models.first_stage import FirstStageAutoencoder


class CodebookAutoencoder(FirstStageAutoencoder):
    """A first stage with a codebook: `indices` are what codes (N, C_z, H_z, W_z) become, `codes_of` goes back."""

    @property
    def codebook_size(self) -> int:
        """Entries in the codebook."""
        return self.settings.codebook.entries

    def decode(self, code: Tensor) -> Tensor:
        """Codes (N, C_z, H_z, W_z), quantized or not -> images (N, C, R, R)."""
        return self.decode_indices(self.indices(code))

    def decode_indices(self, indices: Tensor) -> Tensor:
        """Indices -> images. Quantizing a sum of entries again may choose others, so this does not go by `decode`."""
        return self.decoder(self.codes_of(indices))

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """Those of the indices; RQ-VAE has several at a position."""
        height, width, _ = self.settings.code_size
        return code_bits.of_indices(height * width * getattr(self.settings.codebook, "depth", 1), self.codebook_size)

    def count_hits(self, codes: Tensor) -> Tensor:
        """How often each entry is chosen: (1, entries)."""
        return hits(self.indices(codes), self.codebook_size)[None]

    def reachable_entries(self) -> Tensor:
        """Any entry (entries,) can be nearest to something."""
        return torch.ones(self.codebook_size, dtype=torch.bool)


class EntryUse(nn.Module):
    """How many training images have gone by since an entry was last nearest to a code; saved with the weights."""

    unused_images: Tensor

    def __init__(self, entries: int):
        super().__init__()
        self.register_buffer("unused_images", torch.zeros(entries, dtype=torch.int64))

    def count(self, indices: Tensor, images: int) -> None:
        """Take note of the entries nearest to this process's codes of a batch of so many images over all processes."""
        used = summed_over_processes(hits(indices, len(self.unused_images))) > 0
        self.unused_images.add_(images).masked_fill_(used, 0)

    def expired(self, after_images: int) -> Tensor:
        """Which entries (entries,) have not been used for so many images; from now on they count as used."""
        expired = self.unused_images >= after_images
        self.unused_images.masked_fill_(expired, 0)
        return expired


def hits(indices: Tensor, entries: int) -> Tensor:
    """How often each entry (entries,) is among indices of any shape."""
    # Not torch.bincount, for which the host waits for the device.
    counts = torch.zeros(entries, dtype=torch.int64, device=indices.device)
    return counts.scatter_add_(0, flat := indices.flatten(), torch.ones_like(flat))


def random_codes(codes: Tensor, count: int, random: Draws) -> Tensor:
    """Codes (count, C_z) drawn from the whole batch; `codes` (local batch, positions, C_z) are this process's."""
    positions = codes.shape[1]
    drawn = random.shared_integers(random.batch * positions, count)
    rows = drawn // positions - random.rows.start
    own = (rows >= 0) & (rows < len(codes))
    chosen = codes[rows.clamp(0, len(codes) - 1), drawn % positions]
    return summed_over_processes(torch.where(own[:, None], chosen, 0))


def summed_over_processes(values: Tensor) -> Tensor:
    """The sum of a tensor that every process has one of."""
    if distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1:
        distributed.all_reduce(values)
    return values
