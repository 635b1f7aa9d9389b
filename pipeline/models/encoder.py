"""The encoder (section 3.1, appendix A.1): VQGAN's, with a sigmoid at the end."""

import math

from diffusers.models.autoencoders.vae import Encoder as VQGANEncoder
from torch import Tensor, nn

from pipeline.settings.autoencoder import Encoder
from pipeline.settings.fields import CodeSize

MULTIPLIERS = (1, 1, 2, 2, 4)  # VQGAN's channel multipliers at 256, 128, 64, 32, 16
PLAIN, ATTENTION = "DownEncoderBlock2D", "AttnDownEncoderBlock2D"  # diffusers' names
NORM_GROUPS = 32  # of group normalization; fewer where a width isn't divisible


class KeyCodeEncoder(nn.Module):
    """Images to key codes z in [0, 1]; attention at every resolution from `attention_from` down to H_z."""

    def __init__(self, settings: Encoder, code_size: CodeSize, resolution: int, channels: int):
        super().__init__()
        levels = int(math.log2(resolution // code_size.height)) + 1
        multipliers = settings.multipliers or MULTIPLIERS[:levels]
        widths = tuple(settings.channels * multiplier for multiplier in multipliers)
        self.network = VQGANEncoder(
            in_channels=channels,
            out_channels=code_size.channels,
            down_block_types=tuple(
                "AttnDownEncoderBlock2D" if resolution >> level <= settings.attention_from else "DownEncoderBlock2D"
                for level in range(levels)
            ),
            block_out_channels=widths,
            layers_per_block=settings.blocks,
            norm_num_groups=math.gcd(NORM_GROUPS, *widths),
            double_z=False,
            mid_block_add_attention=code_size.height <= settings.attention_from,
        )

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, C_z, H_z, W_z) in [0, 1]."""
        return self.network(images).float().sigmoid()
