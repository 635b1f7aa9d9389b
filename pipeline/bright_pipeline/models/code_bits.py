"""The bits of an image that its code can carry to the decoder that was trained on such codes.

A number of infinite precision carries infinitely many bits; noise or quantization in training makes them finite. All
counts are upper bounds on the mutual information between an image and the decoder's input in training:

- **indices** (VQGAN, RQ-VAE): log2(entries) for each index; RQ-VAE has `depth` indices at a position.
- **noise** (BRIGHT, section 3.4): a key in [0, 1] with normal noise of standard deviation s is a channel of bounded
  amplitude. McKellips bounds its capacity (Simple tight bounds on capacity for the peak-limited discrete-time
  channel, ISIT 2004):

      C <= min(log2(1 + 1 / (s sqrt(2 pi e))), 1/2 log2(1 + 1 / (4 s^2)))

  The second term is Shannon's, for a variance of at most 1/4. The first is log2(1 + 1 / (2 d)), the number of keys
  that can be distinguished under uniform noise within d = s sqrt(2 pi e) / 2, which has the same differential entropy.
  Noise after tiling reaches the decoder k = (H_d / H_z)^2 times, drawn independently; the mean of these keys has all
  their information, so s / sqrt(k) replaces s. Clamping a key to [0, 1] can only lose bits.
- **posterior** (KL autoencoder): the mean divergence of a number's posterior N(m, v), of which training draws a sample,
  from the normal distribution with the mean and variance V of its channel over all images: E[1/2 log2(V / v)]. No other
  normal distribution per channel has a smaller divergence. It is measured on images, since neither the scale nor the
  noise of such a code is bounded.
- **float32**: 32 bits for each number where none of these bounds applies.

After training a decoder reads codes without noise: the count is the precision that the decoder was trained to use, not
the size of a file, which is `storage` in `bright_pipeline/evaluation/codes.py`.
"""

from collections.abc import Sequence
from math import e, log2, pi, sqrt
from typing import Literal, NamedTuple

import torch
from torch import Tensor

FLOAT_BITS = 32


class CodeBits(NamedTuple):
    """The bits of an image's code, and the bound that applies."""

    per_image: float
    counted_by: Literal["indices", "noise", "posterior", "float32"]


def noise_bits(numbers: int, deviation: float, copies: int = 1) -> CodeBits:
    """The bits of numbers in [0, 1], each read `copies` times with normal noise of this standard deviation."""
    noise = deviation / sqrt(copies)
    return CodeBits(numbers * min(log2(1 + 1 / (noise * sqrt(2 * pi * e))), log2(1 + 1 / (4 * noise**2)) / 2), "noise")


def posterior_moments(means: Tensor, log_variances: Tensor) -> Tensor:
    """Sums over images and positions, (4, C_z), of m, m^2 + v, ln v and 1; m and ln v: (N, C_z, H_z, W_z)."""
    mean, logarithm = (part.double().transpose(0, 1).flatten(1).cpu() for part in (means, log_variances))
    numbers = (mean, mean.square() + logarithm.exp(), logarithm, torch.ones_like(mean))
    return torch.stack([number.sum(1) for number in numbers])


def posterior_bits(moments: Sequence[Tensor], positions: int) -> CodeBits:
    """The bits of codes with this number of positions, from the `posterior_moments` of all images."""
    mean, square, logarithm, count = sum(moments, torch.zeros(4, 1, dtype=torch.float64))
    mean, square, logarithm = mean / count, square / count, logarithm / count  # each (C_z,)
    nats = ((square - mean.square()).log() - logarithm) / 2
    return CodeBits(positions * float(nats.sum()) * log2(e), "posterior")
