"""RQ-VAE (Lee et al. 2022, section 3.1): each of a code's vectors becomes a sum of entries of one codebook.

With r_0 = z, and e_d the entry nearest to r_{d-1}: r_d = r_{d-1} - e_d, and the quantized vector is the sum of
e_1 to e_D. The codebook follows the residuals nearest to its entries by moving averages, without a gradient;
the commitment loss is the mean over d of |z - sg[e_1 + ... + e_d]|^2. The gradient passes straight through.

Unused entries restart (`pipeline.models.codebook`): what is drawn is a function of (seed, step).
"""

import torch
from torch import Tensor

from pipeline.families.rqvae import RQVAE as Settings
from pipeline.models.autoencoder import Draws
from pipeline.models.codebook import CodebookAutoencoder, random_codes
from pipeline.models.residual_quantizer import ResidualQuantizer

RESTARTED_USE = 1.0  # the average use that a restarted entry begins with, as in RQ-VAE's code


class RQVAE(CodebookAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    def __init__(self, settings: Settings, resolution: int, channels: int):
        super().__init__(settings, resolution, channels)
        codebook = settings.codebook
        self.quantizer = ResidualQuantizer(
            codebook.entries, settings.code_size.channels, codebook.depth, codebook.decay
        ).eval()

    def train(self, mode: bool = True) -> "RQVAE":
        """The quantizer, which changes its codebook when it is in training mode, is so in `training_pass` alone."""
        super().train(mode)
        self.quantizer.eval()
        return self

    @property
    def codebook(self) -> Tensor:
        """The entries (entries, C_z)."""
        return self.quantizer.entries

    def indices(self, codes: Tensor) -> Tensor:
        """The entries of each vector: (N, C_z, H_z, W_z) -> (N, depth, H_z, W_z)."""
        indices, _ = self.quantizer(_vectors(codes.float()))
        return indices.movedim(2, 1).unflatten(2, codes.shape[2:])

    def codes_of(self, indices: Tensor) -> Tensor:
        """The sums of entries as codes: (N, depth, H_z, W_z) -> (N, C_z, H_z, W_z)."""
        return self.codebook[indices].sum(1).movedim(-1, 1)

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions, and the commitment loss; the codebook's averages follow, and unused entries restart."""
        codes = self.encode(images)
        vectors, entries = _vectors(codes), self.codebook.clone()
        self.quantizer.train()
        indices, commitment = self.quantizer(vectors)
        self.quantizer.eval()
        chosen = entries[indices]  # (N, positions, depth, C_z)
        if self.settings.codebook.restart_below:
            residuals = vectors.detach()[:, :, None] - chosen.cumsum(2) + chosen
            self._restart(residuals.flatten(1, 2), random)
        quantized = chosen.sum(2).movedim(1, 2).view_as(codes)
        own_losses = {"commitment": self.settings.codebook.commitment_weight * commitment.mean()}
        return self.decoder(codes + (quantized - codes).detach()), own_losses

    @torch.no_grad()
    def _restart(self, residuals: Tensor, random: Draws) -> None:
        vectors = random_codes(residuals, self.codebook_size, random)
        expired = self.quantizer.uses < self.settings.codebook.restart_below
        self.quantizer.restart(expired, vectors, RESTARTED_USE)


def _vectors(codes: Tensor) -> Tensor:
    """(N, C_z, H_z, W_z) -> (N, positions, C_z)."""
    return codes.flatten(2).movedim(1, 2)
