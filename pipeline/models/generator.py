"""What a network of any family of generators does (`pipeline/families`)."""

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.seeds import seed_for
from pipeline.settings.diffusion import Sampler


class Generator(nn.Module):
    """Makes images (C, R, R) in [-1, 1], or codes (C_z, H_z, W_z) that an autoencoder decodes."""

    settings: Any
    shape: tuple[int, int, int]

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """What it makes (len(indices), *shape); number i depends on (seed, i) alone (promise 3)."""
        raise NotImplementedError(f"{type(self).__name__}.sample")


def noise_generators(seed: int, indices: list[int]) -> list[torch.Generator]:
    """A source of noise for each sample, named by (seed, index); on the CPU, so that devices agree."""
    return [torch.Generator().manual_seed(seed_for(seed, "image", index)) for index in indices]
