"""VQGAN (Esser et al. 2021, section 3.1): each of a code's H_z W_z vectors becomes the nearest codebook entry.

The gradient passes the quantization unchanged (straight-through). Two losses move what it stops:

    commitment  |z - sg[e]|^2 of codes to their entries, codebook  |sg[z] - e|^2 of entries to their codes

Diffusion models learn the codes before quantization (LDM's VQ-regularized first stage); decoding quantizes.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.families.vqgan import VQGAN as Settings
from bright_pipeline.models.autoencoder import Draws, full_precision
from bright_pipeline.models.codebook import CodebookAutoencoder, hits, random_codes, summed_over_processes


class Quantizer(nn.Module):
    """The codebook, with the names and the initial entries of the authors' code."""

    def __init__(self, entries: int, channels: int):
        super().__init__()
        self.embedding = nn.Embedding(entries, channels)
        nn.init.uniform_(self.embedding.weight, -1 / entries, 1 / entries)

    def forward(self, codes: Tensor) -> Tensor:
        """The nearest entry to each vector: (N, C_z, H_z, W_z) -> (N, H_z, W_z)."""
        vectors, entries = codes.movedim(1, -1), self.embedding.weight
        # |e|^2 - 2 z e orders as the distance does; the square root in torch.cdist depends on the processor.
        with full_precision(codes):
            return (entries.square().sum(1) - 2 * vectors @ entries.T).argmin(-1)


class EntryUse(nn.Module):
    """The number of training images since each entry was last nearest to a code; saved with the weights."""

    unused_images: Tensor

    def __init__(self, entries: int):
        super().__init__()
        self.register_buffer("unused_images", torch.zeros(entries, dtype=torch.int64))

    def count(self, indices: Tensor, images: int) -> None:
        """Count a batch of `images` images over all processes; `indices`: the entries of this process's codes."""
        used = summed_over_processes(hits(indices, len(self.unused_images))) > 0
        self.unused_images.add_(images).masked_fill_(used, 0)

    def expired(self, after_images: int) -> Tensor:
        """The entries (entries,) without use for so many images; their count starts again."""
        expired = self.unused_images >= after_images
        self.unused_images.masked_fill_(expired, 0)
        return expired


class VQGAN(CodebookAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    def __init__(self, settings: Settings, resolution: int, channels: int):
        super().__init__(settings, resolution, channels)
        self.quantize = Quantizer(settings.codebook.entries, settings.code_size.channels)
        self.use = EntryUse(settings.codebook.entries)

    def indices(self, codes: Tensor) -> Tensor:
        """The nearest entry to each vector: (N, C_z, H_z, W_z) -> (N, H_z, W_z)."""
        return self.quantize(codes.float())

    def codes_of(self, indices: Tensor) -> Tensor:
        """The entries as codes: (N, H_z, W_z) -> (N, C_z, H_z, W_z)."""
        return self.quantize.embedding(indices).movedim(-1, 1)

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions, and the two losses of the codebook; restarts unused entries where configured."""
        settings, codes = self.settings.codebook, self.encode(images)
        indices = self.indices(codes.detach())
        entries = self.codes_of(indices)
        losses = {
            "commitment": settings.commitment_weight * F.mse_loss(codes, entries.detach()),
            "codebook": settings.entry_weight * F.mse_loss(entries, codes.detach()),
        }
        reconstructions = self.decoder(codes + (entries - codes).detach())
        if settings.restart_after_images:
            with torch.no_grad():  # entries that have been unused for long restart at random codes of the batch
                self.use.count(indices, random.batch)
                vectors = random_codes(codes.detach().flatten(2).movedim(1, 2), self.codebook_size, random)
                expired, weight = self.use.expired(settings.restart_after_images), self.quantize.embedding.weight
                weight.copy_(torch.where(expired[:, None], vectors, weight))
        return reconstructions, losses
