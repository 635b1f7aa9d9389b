"""Standard normal numbers that are a function of a name alone, made where they are used: on a GPU, by the GPU.

A number is a hash of its key and its place (SplitMix64, Steele et al. 2014, in integers of 64 bits, the same on every
device), whose halves are the two uniform numbers of Box and Muller's transform, in 64 bits of floating point: where
devices have other last bits of a logarithm, one of some millions of numbers is rounded otherwise.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from pipeline.base.seeds import seed_for

GOLDEN = 0x9E3779B97F4A7C15
ROUNDS = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))  # shifts and factors
HALF = 2**32


def keys(seed: int, indices: Sequence[int], what: str, step: int, device: torch.device) -> Tensor:
    """The keys (N,) of numbers that images with these indices need in a step, for what."""
    named = [seed_for(seed, what, index, step) for index in indices]
    return torch.tensor(named).to(device, non_blocking=True)


def normal(keys: Tensor, shape: Sequence[int]) -> Tensor:
    """Standard normal numbers (N, *shape), float32: those of a row are a function of its key alone."""
    count = math.prod(shape)
    places = torch.arange(1, (count + 1) // 2 + 1, device=keys.device)
    bits = _mixed(keys[:, None] + places * _signed(GOLDEN))
    first = (_shifted(bits, 32) + 1).double() / HALF  # in (0, 1]: its logarithm is finite
    angle = (bits & (HALF - 1)).double() * (2 * math.pi / HALF)
    radius = (-2 * first.log()).sqrt()
    numbers = torch.cat([radius * angle.cos(), radius * angle.sin()], dim=1)
    return numbers[:, :count].float().unflatten(1, tuple(shape))


def _signed(value: int) -> int:
    """The integer of 64 bits with a sign that has these bits."""
    return value - 2**64 if value >= 2**63 else value


def _shifted(bits: Tensor, by: int) -> Tensor:
    """To the right, zeros coming in."""
    return (bits >> by) & (2 ** (64 - by) - 1)


def _mixed(bits: Tensor) -> Tensor:
    for shift, factor in ROUNDS:
        bits = (bits ^ _shifted(bits, shift)) * _signed(factor)
    return bits
