"""The encoder (section 3.1, appendix A.1): VQGAN's, with a sigmoid at the end."""

import math
from typing import Any

from diffusers.models.autoencoders.vae import Encoder as VQGANEncoder
from torch import Tensor, nn

from pipeline.settings.autoencoder import Encoder
from pipeline.settings.fields import CodeSize
from pipeline.settings.first_stage import FirstStageNetwork

MULTIPLIERS = (1, 1, 2, 2, 4)  # VQGAN's channel multipliers at 256, 128, 64, 32, 16
NORM_GROUPS = 32  # of group normalization; fewer where a width isn't divisible


def levels(
    settings: Encoder | FirstStageNetwork, resolution: int, code_size: CodeSize
) -> tuple[list[int], dict[str, Any]]:
    """The resolution of each level, from the image's down to H_z, and what diffusers is told of their blocks."""
    sides = [resolution >> level for level in range(int(math.log2(resolution // code_size.height)) + 1)]
    widths = tuple(settings.channels * multiplier for multiplier in settings.multipliers or MULTIPLIERS[: len(sides)])
    groups = math.gcd(NORM_GROUPS, *widths)
    return sides, {"block_out_channels": widths, "layers_per_block": settings.blocks, "norm_num_groups": groups}


class KeyCodeEncoder(nn.Module):
    """Images to key codes z in [0, 1]; attention at every resolution from `attention_from` down to H_z."""

    def __init__(self, settings: Encoder, code_size: CodeSize, resolution: int, channels: int):
        super().__init__()
        sides, blocks = levels(settings, resolution, code_size)
        attends = [side <= settings.attention_from for side in sides]
        self.network = VQGANEncoder(
            in_channels=channels,
            out_channels=code_size.channels,
            down_block_types=tuple("AttnDownEncoderBlock2D" if attend else "DownEncoderBlock2D" for attend in attends),
            double_z=False,
            mid_block_add_attention=code_size.height <= settings.attention_from,
            **blocks,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, C_z, H_z, W_z) in [0, 1]."""
        return self.network(images).float().sigmoid()
