"""What a network of any family of generators does (`pipeline/families`)."""

from typing import Any

from torch import Tensor, nn

from pipeline.settings.diffusion import Sampler


class Generator(nn.Module):
    """Makes images (C, R, R) in [-1, 1], or codes (C_z, H_z, W_z) that an autoencoder decodes."""

    settings: Any
    shape: tuple[int, int, int]

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """What it makes (len(indices), *shape); number i depends on (seed, i) alone (promise 3)."""
        raise NotImplementedError(f"{type(self).__name__}.sample")
