"""VQGAN's convolutional encoder and decoder (Esser et al. 2021, table 7; the network of DDPM without its time).

Each resolution has residual blocks, each followed by attention at some resolutions, then a change of resolution. The
middle has a residual block, attention and a residual block. Parameters have the names, order and initial values of
diffusers' `Encoder` and `Decoder`, and outputs and gradients are bit-identical to theirs.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from itertools import zip_longest
from typing import Literal, NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.models.execution import run
from bright_pipeline.settings.autoencoder import Encoder as EncoderSettings
from bright_pipeline.settings.fields import CodeSize
from bright_pipeline.settings.first_stage import FirstStageNetwork

MULTIPLIERS = (1, 1, 2, 2, 4)  # VQGAN's channel multipliers at 256, 128, 64, 32, 16
Change = Literal["down", "up"]  # the change of resolution
EPSILON = 1e-6  # of group normalizations, as in the authors' code


class ResidualBlock(nn.Module):
    """x + conv(silu(norm(conv(silu(norm(x)))))): (N, inputs, H, W) -> (N, outputs, H, W); 1 x 1 on x if they differ."""

    checkpointed = False
    activation: Callable[[Tensor], Tensor] = staticmethod(F.silu)

    def __init__(self, inputs: int, outputs: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, inputs, EPSILON)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, outputs, EPSILON)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else None

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.conv1(self.activation(self.norm1(features)))
        hidden = self.conv2(self.activation(self.norm2(hidden)))
        if self.conv_shortcut is not None:
            # Sums depend on the memory layout; this is diffusers' layout.
            features = self.conv_shortcut(features.contiguous() if self.training else features)
        return features + hidden


class Attention(nn.Module):
    """x + projection(softmax(Q K^T / sqrt(C)) V) over all positions, one head; (N, C, H, W) to the same."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, EPSILON)
        self.to_q, self.to_k, self.to_v = (nn.Linear(channels, channels) for _ in range(3))
        self.to_out = nn.Sequential(nn.Linear(channels, channels))

    def forward(self, features: Tensor) -> Tensor:
        positions = self.group_norm(features.flatten(2)).transpose(1, 2)
        query, key, value = (layer(positions)[:, None] for layer in (self.to_q, self.to_k, self.to_v))
        hidden = self.to_out(F.scaled_dot_product_attention(query, key, value)[:, 0])
        return hidden.transpose(1, 2).reshape(features.shape) + features


class Upsample(nn.Module):
    """Nearest neighbours, then a convolution: (N, C, H, W) -> (N, C, 2 H, 2 W)."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, features: Tensor) -> Tensor:
        # PyTorch's kernel for channels_last fails at such sizes (diffusers issue 984, torch issue 141831).
        if len(features) >= 64 or 2 * features.numel() > 2**31:
            features = features.contiguous()
        return self.conv(F.interpolate(features, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Residual blocks, the first `attentions` of them followed by attention, then a change of resolution, if any."""

    def __init__(self, inputs: int, outputs: int, groups: int, blocks: int, attentions: int, change: Change | None):
        super().__init__()
        self.attentions, self.resnets = nn.ModuleList(), nn.ModuleList()
        for number in range(blocks):
            self.resnets.append(ResidualBlock(outputs if number else inputs, outputs, groups))
            if number < attentions:
                self.attentions.append(Attention(outputs, groups))
        self.downsamplers = nn.ModuleList()
        if change == "down":  # a convolution with stride 2, padded to the right and below
            layers = {"pad": nn.ZeroPad2d((0, 1, 0, 1)), "conv": nn.Conv2d(outputs, outputs, 3, stride=2)}
            self.downsamplers.append(nn.Sequential(OrderedDict(layers)))
        self.upsamplers = nn.ModuleList([Upsample(outputs)] if change == "up" else [])

    def forward(self, features: Tensor) -> Tensor:
        for block, attention in zip_longest(self.resnets, self.attentions):
            features = run(block, features)
            if attention is not None:
                features = attention(features)
        for resampling in (*self.downsamplers, *self.upsamplers):
            features = resampling(features)
        return features


class Shape(NamedTuple):
    widths: tuple[int, ...]  # channels at each resolution, from the images' down
    attends: tuple[bool, ...]  # whether the blocks of a resolution have attention
    blocks: int  # residual blocks at each resolution; the decoder has one more
    groups: int  # groups of group normalization; they divide each width
    middle_attends: bool = True

    def levels(self, change: Change) -> list[Level]:
        """The levels of the encoder, from the images down, or of the decoder, up to the images."""
        order, blocks = (1, self.blocks) if change == "down" else (-1, self.blocks + 1)
        widths, attends = self.widths[::order], self.attends[::order]
        changes = [change] * (len(widths) - 1) + [None]
        return [
            Level(inputs, outputs, self.groups, blocks, blocks * attend, how)
            for inputs, outputs, attend, how in zip((widths[0], *widths), widths, attends, changes, strict=False)
        ]

    def middle(self) -> Level:
        return Level(self.widths[-1], self.widths[-1], self.groups, 2, int(self.middle_attends), None)


def network_shape(
    settings: EncoderSettings | FirstStageNetwork,
    resolution: int,
    code_size: CodeSize,
    attends: Callable[[int], bool],
    middle_attends: bool = True,
) -> Shape:
    """The levels from the image's resolution down to H_z, with attention at resolutions where `attends` is true."""
    sides = [resolution >> level for level in range(int(math.log2(resolution // code_size.height)) + 1)]
    widths = tuple(settings.channels * multiplier for multiplier in settings.multipliers or MULTIPLIERS[: len(sides)])
    groups = math.gcd(settings.norm_groups, *widths)
    return Shape(widths, tuple(map(attends, sides)), settings.blocks, groups, middle_attends)


class Encoder(nn.Module):
    """Images (N, inputs, R, R) to (N, outputs, H, W); each level but the last halves the resolution."""

    activation: Callable[[Tensor], Tensor] = staticmethod(F.silu)

    def __init__(self, inputs: int, outputs: int, shape: Shape):
        super().__init__()
        self.conv_in = nn.Conv2d(inputs, shape.widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(shape.levels("down"))
        self.mid_block = shape.middle()
        self.conv_norm_out = nn.GroupNorm(shape.groups, shape.widths[-1], EPSILON)
        self.conv_out = nn.Conv2d(shape.widths[-1], outputs, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        features = self.conv_in(images)
        for level in (*self.down_blocks, self.mid_block):
            features = level(features)
        return self.conv_out(self.activation(self.conv_norm_out(features)))


def use_leaky_relu(encoder: Encoder) -> None:
    """Replace silu by leaky ReLU, as in the authors' code of BRIGHT."""
    for module in encoder.modules():
        if isinstance(module, Encoder | ResidualBlock):
            module.activation = F.leaky_relu


class Decoder(nn.Module):
    """(N, inputs, H, W) to images (N, outputs, R, R)."""

    def __init__(self, inputs: int, outputs: int, shape: Shape):
        super().__init__()
        self.conv_in = nn.Conv2d(inputs, shape.widths[-1], 3, padding=1)
        self.up_blocks = nn.ModuleList()  # named before the middle, but initialized after it
        self.mid_block = shape.middle()
        self.up_blocks.extend(shape.levels("up"))
        self.conv_norm_out = nn.GroupNorm(shape.groups, shape.widths[0], EPSILON)
        self.conv_out = nn.Conv2d(shape.widths[0], outputs, 3, padding=1)

    def forward(self, code: Tensor) -> Tensor:
        features = self.conv_in(code)
        for level in (self.mid_block, *self.up_blocks):
            features = level(features)
        return self.conv_out(F.silu(self.conv_norm_out(features)))
