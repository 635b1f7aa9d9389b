"""The random numbers of a sample: image i's depend on (seed, i) alone (promise 3)."""

import torch

from pipeline.base.seeds import seed_for


def noise_generators(seed: int, indices: list[int]) -> list[torch.Generator]:
    """A generator for each image, named by (seed, index); on the CPU, so that devices agree."""
    return [torch.Generator().manual_seed(seed_for(seed, "image", index)) for index in indices]
