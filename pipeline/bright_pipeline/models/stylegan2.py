"""StyleGAN2's generator (Karras et al. 2020, config F), with skip outputs: z -> w -> images.

A mapping network turns z (N, z) into w (N, s). A learned constant at 4 x 4 passes the blocks of BRIGHT's decoder, with
one convolution after the up-convolution instead of two.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import log2

import torch
from torch import Tensor, nn

from bright_pipeline.families.stylegan2 import Mapping as MappingSettings
from bright_pipeline.families.stylegan2 import StyleGAN2 as StyleGAN2Settings
from bright_pipeline.models.decoder import NoiseSource, Synthesis
from bright_pipeline.models.equalized import EqualizedLinear, activate
from bright_pipeline.models.generator import Generator, noise_generators
from bright_pipeline.settings.diffusion import Sampler

FIRST_RESOLUTION = 4
MAPPING_SPEED = 0.01  # the mapping network's learning rate relative to the rest (Karras et al. 2019)
EPSILON = 1e-8  # StyleGAN2's, under the root of the pixel norm


class Mapping(nn.Module):
    """z (N, z) -> w (N, s): pixel norm, then layers with leaky ReLU."""

    def __init__(self, settings: MappingSettings):
        super().__init__()
        widths = [settings.latent_width] + [settings.style_width] * settings.layers
        self.layers = nn.ModuleList(EqualizedLinear(*pair, speed=MAPPING_SPEED) for pair in pairwise(widths))

    def forward(self, latents: Tensor) -> Tensor:
        features = latents * (latents.square().mean(dim=1, keepdim=True) + EPSILON).rsqrt()
        for layer in self.layers:
            features = activate(layer(features))
        return features


class StyleGAN2(Generator):
    """The generator of `settings` for images of this shape (C, R, R)."""

    compiled_parts = ("mapping", "synthesis.blocks")  # all but the drawing of noise

    def __init__(self, settings: StyleGAN2Settings, shape: tuple[int, int, int]):
        super().__init__()
        settings.check_shape(shape)
        self.settings, self.shape = settings, shape
        sides = [FIRST_RESOLUTION << step for step in range(int(log2(shape[1] // FIRST_RESOLUTION)) + 1)]
        widths = [min(settings.synthesis.channels, settings.synthesis.base // side) for side in sides]
        self.mapping = Mapping(settings.mapping)
        self.constant = nn.Parameter(torch.randn(1, widths[0], FIRST_RESOLUTION, FIRST_RESOLUTION))
        self.synthesis = Synthesis(widths, FIRST_RESOLUTION, shape[0], settings.mapping.style_width, convolutions=1)

    def synthesize(self, styles: Tensor | Sequence[Tensor], noise: NoiseSource | None = None) -> Tensor:
        """w (N, s), or one for each layer -> images (N, C, R, R) in about [-1, 1]."""
        images = len(styles) if isinstance(styles, Tensor) else len(styles[0])
        if not self.settings.synthesis.noise:
            noise = partial(torch.zeros, device=self.constant.device)
        return self.synthesis(self.constant.expand(images, -1, -1, -1), styles, noise)

    def forward(self, latents: Tensor, noise: NoiseSource | None = None) -> Tensor:
        """z (N, z) -> images."""
        return self.synthesize(self.mapping(latents), noise)

    @torch.no_grad()
    def sample(self, indices: list[int], seed: int, sampler: Sampler | None = None) -> Tensor:
        """Images with these indices, each with its own noise, without truncation."""
        device, generators = self.constant.device, noise_generators(seed, indices)

        def normal(shape: tuple[int, ...]) -> Tensor:
            return torch.stack([torch.randn(shape[1:], generator=generator) for generator in generators])

        return self(normal((len(indices), self.settings.mapping.latent_width)).to(device), normal)


def mixed_styles(first: Tensor, second: Tensor, crossovers: Tensor, layers: int) -> list[Tensor]:
    """Style mixing: for each layer (N, s), the first w below an image's crossover layer, the second from there.

    first, second: w (N, s). crossovers: (N,) integers; `layers`: the first everywhere.
    """
    return [torch.where((layer < crossovers)[:, None], first, second) for layer in range(layers)]
