"""LDM's KL autoencoder (Rombach et al. 2022, section 3.1 and appendix G; Kingma and Welling 2014).

The encoder gives each number of a code a normal distribution, of which training draws a sample; a small weight on
the divergence from the standard normal keeps the codes' scale in check. Codes are the means.
"""

from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from torch import Tensor

from pipeline.models.autoencoder import Draws
from pipeline.models.first_stage import FirstStageAutoencoder


class KLAutoencoder(FirstStageAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    moments = 2

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> the codes' means (N, C_z, H_z, W_z)."""
        return self.distribution(images).mean

    def distribution(self, images: Tensor) -> DiagonalGaussianDistribution:
        """The distribution of each code."""
        return DiagonalGaussianDistribution(self.encoder(images))

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions of sampled codes, and the divergence.

        LDM's code sums it over a code and the reconstruction losses over an image; ours are means, so it is divided
        by the numbers in an image.
        """
        distribution = self.distribution(images)
        codes = distribution.mean + distribution.std * random.normal(tuple(distribution.mean.shape))
        divergence = distribution.kl().mean() / images[0].numel()
        return self.decode(codes), {"kl": self.settings.losses.kl_weight * divergence}
