"""How many bits of an image its code can carry to the decoder that was trained on such codes.

A number of infinite precision carries infinitely many; noise or quantization in training makes them finite. All counts
are upper bounds on the mutual information between an image and what the decoder is given of it in training:

- **indices** (VQGAN, RQ-VAE): log2(entries) for each index; RQ-VAE has `depth` of them at a position.
- **noise** (BRIGHT, section 3.4): a key in [0, 1] with normal noise of standard deviation s is a channel of bounded
  amplitude. McKellips bounds its capacity (Simple tight bounds on capacity for the peak-limited discrete-time
  channel, ISIT 2004):

      C <= min(log2(1 + 1 / (s sqrt(2 pi e))), 1/2 log2(1 + 1 / (4 s^2)))

  The second is Shannon's, for a variance of at most 1/4. Uniform noise of the same differential entropy would lie
  within d = s sqrt(2 pi e) / 2 of a key, and the first is log2(1 + 1 / (2 d)): the keys that can be told apart. Noise
  that is drawn after tiling reaches the decoder k = (H_d / H_z)^2 times, each time anew; their mean has all that they
  tell of the key, so s / sqrt(k) stands for s. Clamping the key to [0, 1] can only lose bits.
- **posterior** (KL autoencoder): the mean divergence of a number's posterior N(m, v), of which training draws a sample,
  from a normal distribution that has the mean and the variance V of its channel over all images: E[1/2 log2(V / v)].
  It is the least divergence from a normal distribution for each channel (from N(0, 1) it would be larger), and it needs
  images: neither scale nor noise of such a code is bounded.
- **float32**: 32 bits for each number where nothing of this bounds them.

After training a decoder reads such codes without noise: the count says how much of their digits it was trained to make
use of, not how large a file is, which `storage` in `pipeline/evaluation/codes.py` says.
"""

from collections.abc import Sequence
from math import e, log2, pi, sqrt
from typing import Literal, NamedTuple

import torch
from torch import Tensor

FLOAT_BITS = 32


class CodeBits(NamedTuple):
    """Bits of an image's code, and what bounds them."""

    per_image: float
    counted_by: Literal["indices", "noise", "posterior", "float32"]


def of_floats(numbers: int) -> CodeBits:
    """Of so many numbers that nothing bounds."""
    return CodeBits(float(FLOAT_BITS * numbers), "float32")


def of_indices(indices: int, entries: int) -> CodeBits:
    """Of so many indices into so many entries."""
    return CodeBits(indices * log2(entries), "indices")


def of_bounded_numbers(numbers: int, deviation: float, copies: int = 1) -> CodeBits:
    """Of so many numbers in [0, 1], each of which is read `copies` times with normal noise of this deviation."""
    noise = deviation / sqrt(copies)
    return CodeBits(numbers * min(log2(1 + 1 / (noise * sqrt(2 * pi * e))), log2(1 + 1 / (4 * noise**2)) / 2), "noise")


def posterior_moments(means: Tensor, log_variances: Tensor) -> Tensor:
    """Sums (4, C_z) over images and positions of normal distributions (N, C_z, H_z, W_z), in float64.

    Of the means m, of m^2 + v, of ln v, and of 1.
    """
    mean, logarithm = (part.double().transpose(0, 1).flatten(1).cpu() for part in (means, log_variances))
    numbers = (mean, mean.square() + logarithm.exp(), logarithm, torch.ones_like(mean))
    return torch.stack([each.sum(1) for each in numbers])


def of_posteriors(moments: Sequence[Tensor], positions: int) -> CodeBits:
    """Of codes with so many positions, from the `posterior_moments` of all images."""
    mean, square, logarithm, count = sum(moments, torch.zeros(4, 1, dtype=torch.float64))
    mean, square, logarithm = mean / count, square / count, logarithm / count  # each (C_z,)
    nats = ((square - mean.square()).log() - logarithm) / 2
    return CodeBits(positions * float(nats.sum()) * log2(e), "posterior")
