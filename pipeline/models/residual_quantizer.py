"""RQ-VAE's quantizer: sums of entries of one codebook, which are moving averages (Lee et al. 2022, section 3.1).

With r_0 = z, and e_d the entry nearest to r_{d-1}: r_d = r_{d-1} - e_d. The averages (van den Oord et al. 2017,
appendix A.1) take each depth's residuals in turn, over all processes; entries move at the end of a step. This is
vector-quantize-pytorch's ResidualVQ with a shared codebook and nothing drawn at random, to the bit; a test holds it.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.models.autoencoder import full_precision
from pipeline.models.codebook import summed_over_processes

EPSILON = 1e-5  # smooths the uses, so that an entry without any is divided by something


class ResidualQuantizer(nn.Module):
    """`depth` entries of one codebook for each vector."""

    entries: Tensor
    """(K, C_z)."""
    sums: Tensor
    """(K, C_z), moving averages of the sums of the residuals nearest to each entry."""
    uses: Tensor
    """(K,), moving averages of how many residuals those are."""

    def __init__(self, entries: int, channels: int, depth: int, decay: float):
        super().__init__()
        self.depth, self.decay = depth, decay
        first = nn.init.kaiming_uniform_(torch.empty(1, entries, channels))[0]
        self.register_buffer("entries", first)
        self.register_buffer("sums", first.clone())
        self.register_buffer("uses", torch.ones(entries))

    def forward(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors (N, positions, C_z) -> indices (N, positions, depth), and in training the commitment losses (depth,).

        In training mode the entries follow.
        """
        with full_precision(vectors):
            residual, indices, losses = vectors.float(), [], []
            for _ in range(self.depth):
                nearest = self.nearest(residual.detach())
                chosen = self.entries[nearest]
                indices.append(nearest)
                if self.training:
                    losses.append(F.mse_loss(chosen, residual))
                    self._average(residual.detach(), nearest)
                    chosen = residual.detach() + (chosen - residual.detach())  # as what passes the gradient through is
                residual = residual - chosen
            if self.training:
                self._follow()
            return torch.stack(indices, -1), torch.stack(losses) if losses else vectors.new_zeros(0)

    def nearest(self, vectors: Tensor) -> Tensor:
        """The entry with the least Euclidean distance: (N, positions, C_z) -> (N, positions)."""
        flat, entries = vectors.flatten(0, 1)[None], self.entries[None]
        products = torch.einsum("bid,bjd->bij", flat, entries) * -2
        squares = (flat**2).sum(-1)[..., None] + (entries**2).sum(-1)[:, None] + products
        return (-squares.clamp(min=1e-8).sqrt()).argmax(-1).view(vectors.shape[:-1])

    @torch.no_grad()
    def _average(self, residual: Tensor, nearest: Tensor) -> None:
        """One depth's share of the moving averages."""
        picked = F.one_hot(nearest.flatten(), len(self.entries)).to(residual.dtype)[None]
        uses, sums = picked.sum(1), torch.einsum("hnd,hnc->hcd", residual.flatten(0, 1)[None], picked).contiguous()
        self.uses.lerp_(summed_over_processes(uses)[0], 1.0 - self.decay)
        self.sums.lerp_(summed_over_processes(sums)[0], 1.0 - self.decay)

    @torch.no_grad()
    def _follow(self) -> None:
        """The entries become the averages."""
        total = self.uses.sum(-1, keepdim=True)
        smoothed = (self.uses + EPSILON) / (total + len(self.uses) * EPSILON) * total
        self.entries.copy_(self.sums / smoothed[:, None])

    @torch.no_grad()
    def restart(self, expired: Tensor, vectors: Tensor, uses: float) -> None:
        """Expired entries (K,) begin again at vectors (K, C_z), as if used so often."""
        for buffer in (self.entries, self.sums):
            buffer.copy_(torch.where(expired[:, None], vectors * uses, buffer))
        self.uses.masked_fill_(expired, uses)
