"""The decoder (section 3.3): StyleGAN2's synthesis network, from the feature block, with skip outputs.

The feature block f (N, C_d, H_d, W_d) takes the place of StyleGAN2's learned constant. An MLP turns the average of f
over its pixels into a style code, which modulates every convolution. Each resolution above H_d has an up-convolution,
then two convolutions; every resolution adds its image to the upsampled image of the resolution below.
With a style width of 0 (an ablation) there is no style code and no modulation; weights are still normalized.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.base.seeds import seed_for
from bright_pipeline.models.autoencoder import in_float32
from bright_pipeline.models.equalized import GAIN, SLOPE, EqualizedLinear, Filter, activate
from bright_pipeline.models.execution import run

NoiseSource = Callable[[tuple[int, ...]], Tensor]

EPSILON = 1e-8  # StyleGAN2's, under the root of the demodulation


class StyleMLP(nn.Module):
    """The style code from the pooled feature block: C_d -> s -> s (section 3.3); no layers with a width of 0."""

    def __init__(self, feature_channels: int, style_width: int):
        super().__init__()
        self.first = EqualizedLinear(feature_channels, style_width) if style_width else None
        self.second = EqualizedLinear(style_width, style_width) if style_width else None

    def forward(self, feature_block: Tensor) -> Tensor:
        """(N, C_d, H_d, W_d) -> (N, s)."""
        if self.first is None or self.second is None:
            return feature_block.new_empty(len(feature_block), 0)
        return activate(self.second(activate(self.first(feature_block.mean(dim=(2, 3))))))


def style_scales(affine: nn.Module | None, style: Tensor, inputs: int) -> Tensor:
    """A scale for each input of a convolution, (N, s) -> (N, inputs); every scale is 1 without a style code."""
    return style.new_ones(len(style), inputs) if affine is None else affine(style)


class ModulatedConv(nn.Module):
    """A 3 x 3 modulated convolution with noise, bias and activation; `up` doubles the resolution.

    It modulates inputs and demodulates outputs. This equals StyleGAN2's weights per image,
    W_o,i,k s_i / sqrt(sum_i,k (W_o,i,k s_i)^2), without its grouped convolutions.
    """

    noise_buffer: Tensor

    def __init__(self, inputs: int, outputs: int, resolution: int, style_width: int, seed: int, up: bool = False):
        super().__init__()
        self.affine = EqualizedLinear(style_width, inputs, bias=1.0) if style_width else None  # initially 1
        self.weight = nn.Parameter(torch.randn(outputs, inputs, 3, 3))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.gain = 1 / math.sqrt(inputs * 9)
        self.blur = Filter(padding=1, gain=4.0) if up else None
        shape = (1, 1, resolution, resolution)
        generator = torch.Generator("cpu").manual_seed(seed)
        self.register_buffer("noise_buffer", torch.randn(shape, generator=generator, device="cpu"))

    def forward(self, features: Tensor, style: Tensor, noise: Tensor | None) -> Tensor:
        """(N, inputs, r, r), (N, s) and noise (N, 1, r', r') (None: constant) -> (N, outputs, r', r'), r' = r or 2r."""
        scale = style_scales(self.affine, style, self.weight.shape[1])
        if scale.dtype in (torch.float16, torch.bfloat16):  # avoids overflow; demodulation undoes it
            scale = scale / scale.detach().abs().amax(dim=1, keepdim=True).clamp_min(1e-3)
        weight = self.weight * self.gain
        features = features * scale[:, :, None, None].to(features.dtype)
        if self.blur is None:
            features = F.conv2d(features, weight, padding=1)
        else:
            features = self.blur(F.conv_transpose2d(features, weight.transpose(0, 1), stride=2))
        # 1 / sqrt(sum over inputs and kernel of (W s)^2), (N, outputs).
        demodulation = in_float32(
            lambda scale, weight: (scale.square() @ weight.square().sum(dim=(2, 3)).T + EPSILON).rsqrt(), scale, weight
        )
        # Leaky ReLU commutes with the gain sqrt 2: applied here it scales three small tensors, not all features.
        dtype = features.dtype
        demodulation = (GAIN * demodulation).to(dtype)[:, :, None, None]
        features = torch.addcmul((GAIN * self.bias).to(dtype)[:, None, None], features, demodulation)
        drawn = self.noise_buffer if noise is None else noise.to(features.device)
        features += (drawn * (GAIN * self.noise_strength)).to(dtype)
        return F.leaky_relu_(features, SLOPE)


class ToImage(nn.Module):
    """A 1 x 1 modulated convolution, not demodulated, to the collection's channels."""

    def __init__(self, inputs: int, channels: int, style_width: int):
        super().__init__()
        self.affine = EqualizedLinear(style_width, inputs, bias=1.0) if style_width else None  # initially 1
        self.weight = nn.Parameter(torch.randn(channels, inputs, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.gain = 1 / math.sqrt(inputs)

    def forward(self, features: Tensor, style: Tensor) -> Tensor:
        """(N, inputs, r, r) and (N, s) -> (N, C, r, r)."""
        scale = style_scales(self.affine, style, self.weight.shape[1]) * self.gain
        return F.conv2d(features * scale[:, :, None, None].to(features.dtype), self.weight, self.bias)


class SynthesisBlock(nn.Module):
    """All convolutions at one resolution: `convolutions` (2, or StyleGAN2's own 1) after the up-convolution."""

    checkpointed = False

    def __init__(
        self, inputs: int | None, outputs: int, resolution: int, channels: int, style_width: int, convolutions: int
    ):
        """inputs: channels of the block below; None for the first block, which does not double the resolution."""
        super().__init__()

        def conv(name: str, width: int, up: bool = False) -> ModulatedConv:
            return ModulatedConv(width, outputs, resolution, style_width, seed_for(0, name, resolution), up)

        self.up_conv = None if inputs is None else conv("up", inputs, up=True)
        self.conv0 = conv("conv0", outputs) if convolutions == 2 else None
        self.conv1 = conv("conv1", outputs)
        self.to_image = ToImage(outputs, channels, style_width)
        # It doubles the resolution: zeros between the pixels, then the filter.
        self.upsample = None if inputs is None else Filter(padding=1, gain=4.0, stride=2, transposed=True)

    @property
    def convolutions(self) -> list[ModulatedConv]:
        return [layer for layer in (self.up_conv, self.conv0, self.conv1) if layer is not None]

    def forward(
        self, features: Tensor, image: Tensor | None, styles: Sequence[Tensor], noise: Sequence[Tensor | None]
    ) -> tuple[Tensor, Tensor]:
        """Features and image of the resolution below -> this one's; `styles`: of each convolution, then the image's."""
        for layer, style, drawn in zip(self.convolutions, styles[:-1], noise, strict=True):
            features = layer(features, style, drawn)
        addition = self.to_image(features, styles[-1]).float()
        if image is None or self.upsample is None:
            return features, addition
        return features, self.upsample(image) + addition


class Synthesis(nn.Module):
    """Feature block and style code to images."""

    def __init__(self, widths: list[int], feature_size: int, channels: int, style_width: int, convolutions: int = 2):
        super().__init__()
        self.blocks = nn.ModuleList(
            SynthesisBlock(below, width, feature_size << number, channels, style_width, convolutions)
            for number, (below, width) in enumerate(zip([None, *widths], widths, strict=False))
        )
        self.layers = sum(len(block.convolutions) for block in self.blocks) + 1

    def forward(self, features: Tensor, style: Tensor | Sequence[Tensor], noise: NoiseSource | None = None) -> Tensor:
        """(N, C_d, H_d, W_d) and (N, s) -> (N, C, R, R); the constant noise by default.

        style: one for all layers, or one for each of `layers`: all convolutions, and the last image. As in StyleGAN2,
        the image of a resolution has the style of the next resolution's first convolution.
        """
        styles = [style] * self.layers if isinstance(style, Tensor) else style
        image: Tensor | None = None
        for block in self.blocks:
            block_styles, styles = styles[: len(block.convolutions) + 1], styles[len(block.convolutions) :]
            shapes = [(len(features), *layer.noise_buffer.shape[1:]) for layer in block.convolutions]
            drawn = [None if noise is None else noise(shape) for shape in shapes]
            features, image = run(block, features, image, block_styles, drawn)
        assert image is not None
        return image


def synthesis_widths(given: list[int] | None, feature_channels: int, feature_size: int, resolution: int) -> list[int]:
    """Channels at H_d, 2 H_d, ... R: as configured, or C_d halved at each resolution."""
    return given or [feature_channels >> stage for stage in range(int(math.log2(resolution // feature_size)) + 1)]
