"""Floating-point operations of models of any family; `operations.py` has BRIGHT's own, part by part.

The search for codebook entries, little beside the convolutions, does not count. A generator that denoises is its
UNet; how often another one runs its networks in a step is its own affair, so that only records tell what it takes.
"""

import torch
from torch import Tensor

from pipeline.config.autoencoder import Autoencoder, AutoencoderSettings
from pipeline.config.diffusion import Denoising
from pipeline.config.fields import CodeSize
from pipeline.config.generator import GeneratorSettings
from pipeline.estimation.operations import AutoencoderWork, UNetWork, Work, make_critic
from pipeline.families import autoencoder_family, load
from pipeline.models.complexity import parameters


class FamilyWork(AutoencoderWork):
    """What one image costs in an autoencoder of any family."""

    def __init__(self, settings: AutoencoderSettings, resolution: int, channels: int):
        self.settings = settings
        self.image_shape = (1, channels, resolution, resolution)
        with torch.device("meta"):
            self.model = load(autoencoder_family(settings.family).model)(settings, resolution, channels)
            self.critic = make_critic(settings, resolution, channels)

    @property
    def trainable(self) -> int:
        """Parameters of the whole model."""
        return parameters(self.model)

    @property
    def _encoder(self) -> str:
        return f"encoder {self.settings.architecture()} {self.image_shape}"

    @property
    def _decoder(self) -> str:
        return f"decoder {self.settings.architecture()} {self.image_shape}"

    def _encode(self) -> Tensor:
        return self.model.encode(torch.empty(self.image_shape))

    def _decode(self) -> Tensor:
        height, width, channels = self.settings.code_size
        decode = getattr(self.model, "decoder", self.model.decode)
        return decode(torch.empty(1, channels, height, width))

    def _retrieval(self) -> Work:
        return Work()


def autoencoder_work(settings: AutoencoderSettings, resolution: int, channels: int) -> AutoencoderWork:
    """The operations of an autoencoder."""
    kind = AutoencoderWork if isinstance(settings, Autoencoder) else FamilyWork
    return kind(settings, resolution, channels)


def generator_work(settings: GeneratorSettings, shape: tuple[int, int, int]) -> UNetWork | None:
    """The operations of a generator of (C, H, W); None where they are not counted."""
    channels, height, width = shape
    return UNetWork(settings.unet, CodeSize(height, width, channels)) if isinstance(settings, Denoising) else None
