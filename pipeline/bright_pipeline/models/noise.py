"""Standard normal numbers as a function of a key, computed on the device that uses them.

A number is a hash of its key and its position: SplitMix64 (Steele et al. 2014), in 64-bit integers on all devices.
The halves of a hash are the two uniform numbers of the Box-Muller transform in float64. Devices differ in the last bits
of a logarithm, so one in some millions of float32 results is rounded differently.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bright_pipeline.base.seeds import seed_for

GOLDEN = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # shifts and factors
HALF = 2**32


def keys(seed: int, indices: Sequence[int], what: str, step: int, device: torch.device) -> Tensor:
    """Keys (N,) for the numbers of images with these indices in a step; `what` names their purpose."""
    return torch.tensor([seed_for(seed, what, index, step) for index in indices]).to(device, non_blocking=True)


def normal(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers (N, *shape), float32; each row is a function of its key alone."""
    count = math.prod(shape)
    positions = torch.arange(1, (count + 1) // 2 + 1, device=keys.device)
    bits = keys[:, None] + positions * _signed(GOLDEN)
    for shift, factor in ROUNDS:
        bits = (bits ^ _shifted(bits, shift)) * _signed(factor)
    first = (_shifted(bits, 32) + 1).double() / HALF  # in (0, 1]: its logarithm is finite
    angle = (bits & (HALF - 1)).double() * (2 * math.pi / HALF)
    radius = (-2 * first.log()).sqrt()
    numbers = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return numbers[:, :count].float().unflatten(1, tuple(shape))


def _signed(value: int) -> int:
    """The signed 64-bit integer with these bits."""
    return value - 2**64 if value >= 2**63 else value


def _shifted(bits: Tensor, by: int) -> Tensor:
    """Logical shift to the right."""
    return (bits >> by) & (2 ** (64 - by) - 1)
