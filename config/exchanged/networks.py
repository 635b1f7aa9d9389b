"""The networks: VQGAN's with BRIGHT's keys, and BRIGHT's with the bottlenecks of the other families."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.models import code_bits, kl, rqvae, vqgan
from bright_pipeline.models.autoencoder import Draws
from bright_pipeline.models.code_bits import CodeBits
from bright_pipeline.models.complexity import GIGA, multiply_accumulates, parameters
from bright_pipeline.models.decoder import NoiseSource, StyleMLP, Synthesis, synthesis_widths
from bright_pipeline.models.first_stage import FirstStageAutoencoder
from bright_pipeline.models.group_mlps import GroupMLPs
from bright_pipeline.models.key_noise import tile
from bright_pipeline.models.tiled_keys import TiledKeys
from bright_pipeline.models.vqgan_network import Encoder, network_shape
from torch import Tensor, nn


class Keys(FirstStageAutoencoder):
    """VQGAN's encoder, a sigmoid, noise in training, VQGAN's decoder."""

    code_range = (0.0, 1.0)

    def __init__(self, settings: Any, resolution: int, channels: int):
        super().__init__(settings, resolution, channels)
        if settings.encoder_norm_groups:
            network = settings.network.model_copy(update={"norm_groups": settings.encoder_norm_groups})
            attends = network.attention_resolutions.__contains__
            shape, width = network_shape(network, resolution, settings.code_size, attends), settings.code_size.channels
            encoder = OrderedDict(network=Encoder(channels, width, shape), quant_conv=nn.Conv2d(width, width, 1))
            self.encoder = nn.Sequential(encoder)

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> keys (N, C_z, H_z, W_z) in [0, 1]."""
        return super().encode(images).sigmoid()

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions of keys with noise, and the penalty on keys."""
        keys = self.encode(images)
        noisy = (keys + self.settings.key_noise * random.normal(tuple(keys.shape))).clamp(0, 1)
        return self.decode(noisy), {"key_penalty": self.settings.losses.key_penalty * (keys - 0.5).square().mean()}

    def code_moments(self, images: Tensor, count: int) -> Tensor:
        keys = self.encode(images)[:count]
        return code_bits.posterior_moments(keys, keys.new_full(keys.shape, 2 * math.log(self.settings.key_noise)))

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """The bits that the noise leaves to keys, as BRIGHT's are counted."""
        height, width, channels = self.settings.code_size
        sums = [batch for batch in moments if batch is not None]
        bounds = [code_bits.posterior_bits(sums, height * width)] if sums else []
        return min([*bounds, code_bits.noise_bits(height * width * channels, self.settings.key_noise)])


class BrightDecoder(nn.Module):
    """Codes (N, C_z, H_z, W_z) -> tiled codes with (x, y) -> F_mlp -> style and synthesis -> images (N, C, R, R)."""

    noise: NoiseSource | None = None

    def __init__(self, settings: Any, resolution: int, channels: int):
        super().__init__()
        self.size, width, style = settings.feature_size, settings.feature_channels, settings.decoder.style_width
        self.inputs = TiledKeys(self.size, coordinates=True)
        self.group_mlps = GroupMLPs(1, settings.code_size.channels + 2, settings.hidden_width, width)
        self.style_mlp = StyleMLP(width, style)
        widths = synthesis_widths(settings.decoder.channels, width, self.size, resolution)
        self.synthesis = Synthesis(widths, self.size, channels, style)

    def forward(self, code: Tensor) -> Tensor:
        block = self.group_mlps(self.inputs.retrieve(tile(code, self.size)))
        return self.synthesis(block, self.style_mlp(block), self.noise)


class InBrightNetworks(FirstStageAutoencoder):
    """A family's bottleneck; the networks around it are BRIGHT's. In training, synthesis has noise as BRIGHT's has."""

    decoder: BrightDecoder

    def __init__(self, settings: Any, resolution: int, channels: int):
        super().__init__(settings, resolution, channels)  # VQGAN's networks are replaced here
        attends = settings.encoder.attention_from.__ge__
        size = settings.code_size
        shape = network_shape(settings.encoder, resolution, size, attends, attends(size.height))
        self.encoder = Encoder(channels, self.moments * size.channels, shape)
        self.decoder = BrightDecoder(settings, resolution, channels)

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        self.decoder.noise = random.normal
        try:
            return super().training_pass(images, random)
        finally:
            self.decoder.noise = None

    @property
    def last_layer(self) -> nn.Parameter:
        return self.decoder.synthesis.blocks[-1].to_image.weight


class KLAutoencoder(InBrightNetworks, kl.KLAutoencoder):
    """A normal distribution for each number of a code (LDM)."""


class VQGAN(InBrightNetworks, vqgan.VQGAN):
    """The nearest entry of a codebook (Esser et al.)."""


class RQVAE(InBrightNetworks, rqvae.RQVAE):
    """Sums of entries of a codebook (Lee et al.)."""


def counts(settings: Any, resolution: int, channels: int) -> dict[str, Any]:
    """Parameters and multiply-accumulates of decoding, counted without a rule of the paper."""
    height, width, code_channels = settings.code_size
    with torch.device("meta"):
        model = load(autoencoder_family(settings.family).model)(settings, resolution, channels).to("meta")
        true = multiply_accumulates(lambda: model.decoder(torch.empty(1, code_channels, height, width))) / GIGA
    numbers = {"decoder_params": parameters(model.decoder), "encoder_params": parameters(model.encoder)}
    return numbers | {"gmacs": {"paper_rule": true, "true": true}}
