"""The interface of generators of any family (`bright_pipeline/families`)."""

from typing import Any

import torch
from torch import Tensor, nn

from bright_pipeline.base.seeds import seed_for
from bright_pipeline.settings.diffusion import Sampler


class Generator(nn.Module):
    """Makes images (C, R, R) in [-1, 1], or codes (C_z, H_z, W_z) that an autoencoder decodes."""

    settings: Any
    shape: tuple[int, int, int]

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """Samples (len(indices), *shape); sample i depends on (seed, i) alone (promise 3)."""
        raise NotImplementedError(f"{type(self).__name__}.sample")


def noise_generators(seed: int, indices: list[int]) -> list[torch.Generator]:
    """A random generator for each sample, seeded by (seed, index); on the CPU, so that devices agree."""
    return [torch.Generator().manual_seed(seed_for(seed, "image", index)) for index in indices]
