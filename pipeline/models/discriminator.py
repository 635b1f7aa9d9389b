"""The discriminator: StyleGAN2's residual one, without the minibatch standard deviation.

The gradient penalty (equation 5) compares single images, which a statistic over the batch would mix.
"""

import math
from itertools import pairwise

from torch import Tensor, nn

from pipeline.config.autoencoder import Discriminator as DiscriminatorSettings
from pipeline.models.equalized import EqualizedConv, EqualizedLinear, Filter, activate

LAST_RESOLUTION = 4


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions and a 1 x 1 shortcut, to half the resolution."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.conv0 = EqualizedConv(inputs, inputs, 3)
        self.blur = Filter(padding=2)
        self.conv1 = EqualizedConv(inputs, outputs, 3, stride=2, padding=0)
        self.shrink = Filter(padding=1, stride=2)
        self.shortcut = EqualizedConv(inputs, outputs, 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, inputs, r, r) -> (N, outputs, r / 2, r / 2)."""
        inner = activate(self.conv1(self.blur(activate(self.conv0(features)))))
        return (inner + self.shortcut(self.shrink(features))) / math.sqrt(2)


class Discriminator(nn.Module):
    """Images to one number each: the critic of the Wasserstein loss."""

    def __init__(self, settings: DiscriminatorSettings, resolution: int, channels: int):
        super().__init__()
        sizes = [resolution >> step for step in range(int(math.log2(resolution // LAST_RESOLUTION)) + 1)]
        widths = [min(settings.channels, max(settings.base // size, 1)) for size in sizes]
        self.from_image = EqualizedConv(channels, widths[0], 1)
        self.blocks = nn.ModuleList(ResidualBlock(inputs, outputs) for inputs, outputs in pairwise(widths))
        self.conv = EqualizedConv(widths[-1], widths[-1], 3)
        self.hidden = EqualizedLinear(widths[-1] * sizes[-1] ** 2, widths[-1])
        self.output = EqualizedLinear(widths[-1], 1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N,)."""
        features = activate(self.from_image(images))
        for block in self.blocks:
            features = block(features)
        features = activate(self.conv(features))
        return self.output(activate(self.hidden(features.flatten(1)))).squeeze(1).float()
