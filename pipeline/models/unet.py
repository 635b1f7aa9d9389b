"""The denoising network on key codes (section 4, appendix A.2): diffusers' UNet2DModel."""

from typing import Any

from diffusers import UNet2DModel

from pipeline.settings.diffusion import UNet
from pipeline.settings.fields import CodeSize

# LDM's are diffusers' defaults; DDPM's are those of its code (hojonathanho/diffusion), where the sine comes first.
VARIANTS: dict[str, dict[str, Any]] = {
    "ldm": {"flip_sin_to_cos": True, "freq_shift": 0, "norm_eps": 1e-5, "downsample_padding": 1},
    "ddpm": {"flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6, "downsample_padding": 0},
}


def build_unet(settings: UNet, code_size: CodeSize) -> UNet2DModel:
    """A UNet for codes (N, C_z, H_z, W_z) in [-1, 1], with attention at the configured code resolutions."""
    levels = range(len(settings.multipliers))
    attends = [code_size.height // 2**level in settings.attention_resolutions for level in levels]
    return UNet2DModel(
        sample_size=code_size.height,
        in_channels=code_size.channels,
        out_channels=code_size.channels,
        layers_per_block=settings.blocks,
        block_out_channels=[settings.channels * multiplier for multiplier in settings.multipliers],
        down_block_types=["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        attention_head_dim=settings.head_width,
        norm_num_groups=settings.norm_groups,
        **VARIANTS[settings.variant],
    )
