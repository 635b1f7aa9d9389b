"""LDM's KL autoencoder (Rombach et al. 2022, section 3.1 and appendix G; Kingma and Welling 2014).

The encoder predicts a normal distribution for each number of a code, and training draws a sample of it. A small weight
on the divergence from the standard normal distribution limits the scale of the codes. Codes are the means.
"""

from collections.abc import Sequence

from torch import Tensor

from bright_pipeline.models import code_bits
from bright_pipeline.models.autoencoder import Draws
from bright_pipeline.models.code_bits import CodeBits
from bright_pipeline.models.first_stage import FirstStageAutoencoder

LOG_VARIANCES = (-30.0, 20.0)  # LDM's bounds


class DiagonalGaussian:
    """A normal distribution for each number, from `moments` (N, 2 C_z, H_z, W_z): means and log variances."""

    def __init__(self, moments: Tensor):
        self.mean, logarithm = moments.chunk(2, dim=1)
        self.logvar = logarithm.clamp(*LOG_VARIANCES)
        self.std, self.var = (0.5 * self.logvar).exp(), self.logvar.exp()

    def kl(self) -> Tensor:
        """The divergence from standard normal distributions, summed over each code: (N,)."""
        return 0.5 * (self.mean.square() + self.var - 1.0 - self.logvar).sum((1, 2, 3))


class KLAutoencoder(FirstStageAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    moments = 2

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> the codes' means (N, C_z, H_z, W_z)."""
        return self.distribution(images).mean

    def distribution(self, images: Tensor) -> DiagonalGaussian:
        return DiagonalGaussian(super().encode(images))

    def code_moments(self, images: Tensor, count: int) -> Tensor:
        distribution = self.distribution(images)
        return code_bits.posterior_moments(distribution.mean[:count], distribution.logvar[:count])

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        height, width, _ = self.settings.code_size
        return code_bits.posterior_bits([batch for batch in moments if batch is not None], height * width)

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions of sampled codes, and the divergence.

        LDM's code sums the divergence over a code and the reconstruction losses over an image. Here losses are means
        over an image, so the divergence is divided by the numbers in an image.
        """
        distribution = self.distribution(images)
        codes = distribution.mean + distribution.std * random.normal(tuple(distribution.mean.shape))
        divergence = distribution.kl().mean() / images[0].numel()
        return self.decode(codes), {"kl": self.settings.losses.kl_weight * divergence}
