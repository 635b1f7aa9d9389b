"""RQ-VAE (Lee et al. 2022, section 3.1): each vector of a code becomes a sum of entries of one codebook.

With r_0 = z, and e_d the entry nearest to r_{d-1}: r_d = r_{d-1} - e_d, and the quantized vector is the sum of
e_1 to e_D. The entries are moving averages of the residuals nearest to them (van den Oord et al. 2017, appendix A.1),
without a gradient. The commitment loss is the mean over d of |z - sg[e_1 + ... + e_d]|^2, and the gradient passes the
quantization unchanged (straight-through).

Unused entries restart at residuals of the batch (`bright_pipeline.models.codebook`).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.families.rqvae import RQVAE as Settings
from bright_pipeline.models.autoencoder import Draws, full_precision
from bright_pipeline.models.codebook import CodebookAutoencoder, random_codes, summed_over_processes

EPSILON = 1e-5  # added to the uses, so that an entry without uses is not divided by zero
RESTARTED_USE = 1.0  # the average use of an entry after its restart, as in RQ-VAE's code


class ResidualQuantizer(nn.Module):
    """`depth` entries of one codebook for each vector.

    Bit-identical to vector-quantize-pytorch's ResidualVQ with a shared codebook and no random restarts; a test checks
    it. The averages take the residuals of each depth in turn, over all processes; entries move at the end of a step.
    """

    entries: Tensor  # (K, C_z)
    sums: Tensor  # (K, C_z), moving averages of the sums of the residuals nearest to each entry
    uses: Tensor  # (K,), moving averages of the number of those residuals

    def __init__(self, entries: int, channels: int, depth: int, decay: float):
        super().__init__()
        self.depth, self.decay = depth, decay
        first = nn.init.kaiming_uniform_(torch.empty(1, entries, channels))[0]
        self.register_buffer("entries", first)
        self.register_buffer("sums", first.clone())
        self.register_buffer("uses", torch.ones(entries))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """(N, positions, C_z) -> indices (N, positions, depth); in training also losses (depth,), and entries move."""
        with full_precision(vectors):
            residual, indices, losses = vectors.float(), [], []
            for _ in range(self.depth):
                nearest = self.nearest(residual.detach())
                chosen = self.entries[nearest]
                indices.append(nearest)
                if self.training:
                    losses.append(F.mse_loss(chosen, residual))
                    constant = residual.detach()
                    chosen = constant + (chosen - constant)  # rounded as the straight-through sum
                    # Add the residuals of this depth to the moving averages.
                    picked = F.one_hot(nearest.flatten(), len(self.entries)).to(constant.dtype)[None]
                    sums = torch.einsum("hnd,hnc->hcd", constant.flatten(0, 1)[None], picked).contiguous()
                    self.uses.lerp_(summed_over_processes(picked.sum(1))[0], 1.0 - self.decay)
                    self.sums.lerp_(summed_over_processes(sums)[0], 1.0 - self.decay)
                residual = residual - chosen
            if self.training:  # set the entries to the averages
                total = self.uses.sum(-1, keepdim=True)
                smoothed = (self.uses + EPSILON) / (total + len(self.uses) * EPSILON) * total
                self.entries.copy_(self.sums / smoothed[:, None])
            return torch.stack(indices, -1), torch.stack(losses) if losses else vectors.new_zeros(0)

    def nearest(self, vectors: Tensor) -> Tensor:
        """The entry with the smallest Euclidean distance: (N, positions, C_z) -> (N, positions)."""
        flat, entries = vectors.flatten(0, 1)[None], self.entries[None]
        products = torch.einsum("bid,bjd->bij", flat, entries) * -2
        squares = (flat**2).sum(-1)[..., None] + (entries**2).sum(-1)[:, None] + products
        return (-squares.clamp(min=1e-8).sqrt()).argmax(-1).view(vectors.shape[:-1])


class RQVAE(CodebookAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    def __init__(self, settings: Settings, resolution: int, channels: int):
        super().__init__(settings, resolution, channels)
        codebook, width = settings.codebook, settings.code_size.channels
        self.quantizer = ResidualQuantizer(codebook.entries, width, codebook.depth, codebook.decay).eval()

    def train(self, mode: bool = True) -> "RQVAE":
        """The quantizer updates its codebook in training mode, so only `training_pass` puts it into that mode."""
        super().train(mode)
        self.quantizer.eval()
        return self

    def indices(self, codes: Tensor) -> Tensor:
        """The entries of each vector: (N, C_z, H_z, W_z) -> (N, depth, H_z, W_z)."""
        indices, _ = self.quantizer(_vectors(codes.float()))
        return indices.movedim(2, 1).unflatten(2, codes.shape[2:])

    def codes_of(self, indices: Tensor) -> Tensor:
        """The sums of entries as codes: (N, depth, H_z, W_z) -> (N, C_z, H_z, W_z)."""
        return self.quantizer.entries[indices].sum(1).movedim(-1, 1)

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions, and the commitment loss; updates the codebook, and restarts unused entries."""
        codes, settings = self.encode(images), self.settings.codebook
        vectors, entries = _vectors(codes), self.quantizer.entries.clone()
        self.quantizer.train()
        indices, commitment = self.quantizer(vectors)
        self.quantizer.eval()
        chosen = entries[indices]  # (N, positions, depth, C_z)
        if settings.restart_below:
            with torch.no_grad():
                residuals = vectors.detach()[:, :, None] - chosen.cumsum(2) + chosen
                drawn = random_codes(residuals.flatten(1, 2), self.codebook_size, random)
                expired = self.quantizer.uses < settings.restart_below
                for buffer in (self.quantizer.entries, self.quantizer.sums):
                    buffer.copy_(torch.where(expired[:, None], drawn * RESTARTED_USE, buffer))
                self.quantizer.uses.masked_fill_(expired, RESTARTED_USE)
        quantized = chosen.sum(2).movedim(1, 2).view_as(codes)
        losses = {"commitment": settings.commitment_weight * commitment.mean()}
        return self.decoder(codes + (quantized - codes).detach()), losses


def _vectors(codes: Tensor) -> Tensor:
    """(N, C_z, H_z, W_z) -> (N, positions, C_z)."""
    return codes.flatten(2).movedim(1, 2)
