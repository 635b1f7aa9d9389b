"""Autoencoders with VQGAN's convolutional encoder and decoder (Esser et al. 2021, table 7).

image (C, R, R) -> encoder (z, H_z, W_z) -> 1 x 1 convolution -> code (C_z, H_z, W_z) -> the family's bottleneck
-> 1 x 1 convolution (z, H_z, W_z) -> decoder -> image

z (`latent_channels`) is z_channels of VQGAN's code, and C_z is its embed_dim. Each level has residual blocks, with
attention at some resolutions; the middle always has attention.
"""

from collections import OrderedDict

from torch import Tensor, nn

from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.models.vqgan_network import Decoder, Encoder, network_shape
from bright_pipeline.settings.first_stage import FirstStage


class FirstStageAutoencoder(ImageAutoencoder):
    """Encoder and decoder; a family adds the bottleneck. Codes are unbounded, before any quantization."""

    compiled_parts = ("encoder", "decoder")
    moments = 1  # outputs of the encoder for each number of a code: 2 for a mean and a variance

    def __init__(self, settings: FirstStage, resolution: int, channels: int):
        super().__init__()
        settings.check_resolution(resolution)
        self.settings, self.resolution, self.channels = settings, resolution, channels
        attends = settings.network.attention_resolutions.__contains__
        shape = network_shape(settings.network, resolution, settings.code_size, attends)
        width = settings.code_size.channels
        latent = settings.network.latent_channels or width
        moments = self.moments * latent, self.moments * width
        # Images to the bottleneck's input (N, moments C_z, H_z, W_z), and its output (N, C_z, H_z, W_z) to images.
        encoder = OrderedDict(network=Encoder(channels, moments[0], shape), quant_conv=nn.Conv2d(*moments, 1))
        decoder = OrderedDict(post_quant_conv=nn.Conv2d(width, latent, 1), network=Decoder(latent, channels, shape))
        self.encoder, self.decoder = nn.Sequential(encoder), nn.Sequential(decoder)

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> (N, moments C_z, H_z, W_z), codes where `moments` is 1."""
        return self.encoder(images).float()

    def decode(self, code: Tensor) -> Tensor:
        """Codes (N, C_z, H_z, W_z) -> images (N, C, R, R)."""
        return self.decoder(code)

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights of the decoder's last convolution."""
        return self.decoder.network.conv_out.weight
