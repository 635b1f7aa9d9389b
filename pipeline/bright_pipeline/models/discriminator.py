"""Discriminators: StyleGAN2's residual one, with its minibatch standard deviation as an option, and VQGAN's.

The deviation is off under the gradient penalty (equation 5), which needs scores of single images: it would mix them.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from bright_pipeline.models.equalized import SLOPE, EqualizedConv, EqualizedLinear, Filter, activate
from bright_pipeline.settings.autoencoder import Discriminator as DiscriminatorSettings

LAST_RESOLUTION = 4
DEVIATION_EPSILON = 1e-8  # under the root; StyleGAN2's
MAX_WIDENING = 8  # PatchGAN's channels grow up to this multiple of the first layer's


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a 1 x 1 shortcut, to half the resolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv0 = EqualizedConv(inputs, inputs, 3)
        self.blur = Filter(padding=2)
        self.conv1 = EqualizedConv(inputs, outputs, 3, stride=2)
        self.shrink = Filter(padding=1, stride=2)
        self.shortcut = EqualizedConv(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, r, r) -> (N, outputs, r / 2, r / 2)."""
        inner = activate(self.conv1(self.blur(activate(self.conv0(features)))))
        return (inner + self.shortcut(self.shrink(features))) / math.sqrt(2)


class Discriminator(nn.Module):
    """StyleGAN2's discriminator: images to one score each."""

    def __init__(self, settings: DiscriminatorSettings, resolution: int, channels: int):
        super().__init__()
        sizes = [resolution >> step for step in range(int(math.log2(resolution // LAST_RESOLUTION)) + 1)]
        widths = [min(settings.channels, max(settings.base // size, 1)) for size in sizes]
        self.from_image = EqualizedConv(channels, widths[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.group = settings.minibatch_deviation
        self.conv = EqualizedConv(widths[-1] + bool(self.group), widths[-1], 3)
        self.hidden = EqualizedLinear(widths[-1] * sizes[-1] ** 2, widths[-1])
        self.output = EqualizedLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N,)."""
        features = activate(self.from_image(images))
        for block in self.blocks:
            features = block(features)
        if self.group:
            features = with_minibatch_deviation(features, self.group)
        features = activate(self.conv(features))
        return self.output(activate(self.hidden(features.flatten(1)))).squeeze(1).float()


def with_minibatch_deviation(features: Tensor, group: int) -> Tensor:
    """(N, c, r, r) -> (N, c + 1, r, r): the last channel is the deviation within a group (Karras et al. 2018).

    That is the standard deviation over the images of a group, averaged over channels and pixels. A group consists of
    neighbours in the batch, so the number of processes does not change the groups.
    """
    images, _, *size = features.shape
    groups = features.unflatten(0, (-1, math.gcd(group, images))).float()
    deviation = (groups.var(dim=1, correction=0) + DEVIATION_EPSILON).sqrt().mean(dim=(1, 2, 3))
    rows = deviation.repeat_interleave(groups.shape[1])[:, None, None, None]
    return torch.cat([features, rows.expand(images, 1, *size).to(features.dtype)], dim=1)


class PatchDiscriminator(nn.Module):
    """VQGAN's PatchGAN (Isola et al. 2017), a score for every patch: `layers` of stride 2, then two of stride 1."""

    def __init__(self, settings: DiscriminatorSettings, resolution: int, channels: int):
        super().__init__()
        widths = [settings.channels * min(2**number, MAX_WIDENING) for number in range(settings.layers + 1)]
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 4, 2, 1), nn.LeakyReLU(SLOPE)]
        for number in range(1, settings.layers + 1):
            stride = 2 if number < settings.layers else 1
            layers += [
                nn.Conv2d(widths[number - 1], widths[number], 4, stride, 1, bias=False),
                nn.BatchNorm2d(widths[number]),
                nn.LeakyReLU(SLOPE),
            ]
        self.network = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 4, 1, 1))
        self.network.apply(_initialize)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, patches)."""
        return self.network(images).flatten(1).float()


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def make_discriminator(settings: DiscriminatorSettings, resolution: int, channels: int) -> nn.Module:
    """Make the untrained discriminator of these settings, for images (channels, resolution, resolution)."""
    kind = PatchDiscriminator if settings.kind == "patch" else Discriminator
    return kind(settings, resolution, channels)
