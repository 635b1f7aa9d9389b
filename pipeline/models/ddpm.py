"""DDPM (Ho et al. 2020): a UNet that denoises images."""

from torch import Tensor

from pipeline.families.ddpm import DDPM as DDPMSettings
from pipeline.models.diffusion import build_unet, denoise
from pipeline.models.generator import Generator
from pipeline.models.rescaling import Rescaling
from pipeline.settings.diffusion import Sampler
from pipeline.settings.fields import CodeSize

PIXELS = Rescaling(bounds=(-1.0, 1.0))  # images are in [-1, 1] already


class DDPM(Generator):
    """Images (C, R, R) from noise of the same shape."""

    compiled_parts = ("unet",)

    def __init__(self, settings: DDPMSettings, shape: tuple[int, int, int]):
        super().__init__()
        self.settings, self.shape = settings, shape
        channels, height, width = shape
        self.unet = build_unet(settings.unet, CodeSize(height, width, channels))

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """Images (N, C, R, R) in [-1, 1]."""
        return denoise(self.unet, self.settings, sampler, indices, seed, self.shape, PIXELS)
