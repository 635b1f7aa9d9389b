"""The encoder (section 3.1, appendix A.1): VQGAN's, with a sigmoid at the end."""

import math
from collections.abc import Callable

from torch import Tensor, nn

from pipeline.models.vqgan_network import Encoder as VQGANEncoder
from pipeline.models.vqgan_network import Shape
from pipeline.settings.autoencoder import Encoder
from pipeline.settings.fields import CodeSize
from pipeline.settings.first_stage import FirstStageNetwork

MULTIPLIERS = (1, 1, 2, 2, 4)  # VQGAN's channel multipliers at 256, 128, 64, 32, 16


def network_shape(
    settings: Encoder | FirstStageNetwork,
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


class KeyCodeEncoder(nn.Module):
    """Images to key codes z in [0, 1]; attention at every resolution from `attention_from` down to H_z."""

    def __init__(self, settings: Encoder, code_size: CodeSize, resolution: int, channels: int):
        super().__init__()

        def attends(side: int) -> bool:
            return side <= settings.attention_from

        shape = network_shape(settings, resolution, code_size, attends, attends(code_size.height))
        self.network = VQGANEncoder(channels, code_size.channels, shape)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, C_z, H_z, W_z) in [0, 1]."""
        return self.network(images).float().sigmoid()
