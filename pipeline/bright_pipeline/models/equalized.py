"""Layers that StyleGAN2's generator and discriminator share: equalized learning rate, FIR filters.

Weights are drawn from N(0, 1) and scaled in the forward pass, so Adam moves every layer at the same relative speed.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.models.autoencoder import full_precision

FIR = (1.0, 3.0, 3.0, 1.0)  # StyleGAN2's resampling filter
SLOPE, GAIN = 0.2, math.sqrt(2)  # leaky ReLU and the gain that keeps the variance


def activate(features: Tensor) -> Tensor:
    """Leaky ReLU of slope 0.2, times sqrt 2."""
    return F.leaky_relu(features, SLOPE) * GAIN


def transposed_fir(features: Tensor, kernel: Tensor, stride: int, padding: int) -> Tensor:
    """F.conv_transpose2d of each channel with a symmetric 4 x 4 kernel, as convolutions, which cuDNN computes faster.

    With stride 2, the output pixels of each parity come from a filter of 2 x 2; the four results are interleaved.
    """
    channels = features.shape[1]
    if stride == 1:
        return F.conv2d(features, kernel.expand(channels, 1, 4, 4), padding=3 - padding, groups=channels)
    # (parity of the row, of the column, 2, 2): pixel 2a + b reads entries b and 2 + b of the kernel at a and a - 1.
    parities = kernel.view(2, 2, 2, 2).permute(1, 3, 0, 2).flip(2, 3).reshape(4, 1, 2, 2)
    by_parity = F.conv2d(features.flatten(0, 1)[:, None], parities, padding=1)
    whole = F.pixel_shuffle(by_parity, 2)[:, 0].unflatten(0, (-1, channels))
    return whole[:, :, padding : -padding or None, padding : -padding or None]


class _Fir(torch.autograd.Function):
    """The FIR filter on each channel, in the features' own precision.

    The gradient of the filter is its transpose (with stride 2: zeros between the pixels, then the filter), and the
    gradient of that is the filter again. The gradient penalty differentiates twice; PyTorch's second derivative of a
    grouped convolution would take ten times as long.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.how = stride, padding, transposed
        channels, kernel = features.shape[1], kernel.to(features.dtype)
        with full_precision(features):
            if transposed and features.device.type not in ("cpu", "meta"):
                return transposed_fir(features, kernel, stride, padding)
            convolve = F.conv_transpose2d if transposed else F.conv2d
            weight = kernel.expand(channels, 1, 4, 4)
            return convolve(features, weight, stride=stride, padding=padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        (kernel,), (stride, padding, transposed) = ctx.saved_tensors, ctx.how
        return _Fir.apply(gradient, kernel, stride, padding, not transposed), None, None, None, None


class Filter(nn.Module):
    """The FIR filter (4, 4) with sum `gain` on each channel, with zero padding and a stride; or its transpose."""

    kernel: Tensor

    def __init__(self, padding: int, gain: float = 1.0, stride: int = 1, transposed: bool = False):
        super().__init__()
        self.how = stride, padding, transposed
        kernel = torch.tensor(FIR).outer(torch.tensor(FIR))
        self.register_buffer("kernel", kernel * (gain / kernel.sum()), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return _Fir.apply(features, self.kernel, *self.how)


class EqualizedLinear(nn.Module):
    """A linear layer; `bias` is the initial value of all biases.

    speed: a factor of the learning rate. Weights and biases are stored divided by it and multiplied by it in use.
    """

    def __init__(self, inputs: int, outputs: int, bias: float = 0.0, speed: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / speed)
        self.bias = nn.Parameter(torch.full((outputs,), bias / speed))
        self.gain, self.speed = speed / math.sqrt(inputs), speed

    def forward(self, features: Tensor) -> Tensor:
        bias = self.bias if self.speed == 1 else self.bias * self.speed
        return F.linear(features, self.weight * self.gain, bias)


class EqualizedConv(nn.Module):
    """A convolution with zero padding; without padding where it has a stride, since a filter before it pads."""

    def __init__(self, inputs: int, outputs: int, size: int, stride: int = 1, bias: bool = True):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.gain = 1 / math.sqrt(inputs * size**2)
        self.stride, self.padding = stride, size // 2 if stride == 1 else 0

    def forward(self, features: Tensor) -> Tensor:
        return F.conv2d(features, self.weight * self.gain, self.bias, self.stride, self.padding)
