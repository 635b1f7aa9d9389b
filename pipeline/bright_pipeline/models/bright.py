"""BRIGHT (section 3, figure 3): encoding, hash retrieval, decoding.

image -> key code z -> tiled key code -> unit keys + (x, y) -> retrieved features -> feature block -> image
"""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from bright_pipeline.models import code_bits
from bright_pipeline.models.autoencoder import Draws, ImageAutoencoder
from bright_pipeline.models.code_bits import CodeBits
from bright_pipeline.models.decoder import NoiseSource, StyleMLP, Synthesis, synthesis_widths
from bright_pipeline.models.group_mlps import GroupMLPs, StyledGroupMLPs
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.key_noise import NOISES, key_penalties, tile
from bright_pipeline.models.tiled_keys import TiledKeys
from bright_pipeline.models.vqgan_network import Encoder, network_shape, use_leaky_relu
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.autoencoder import Encoder as EncoderSettings
from bright_pipeline.settings.fields import CodeSize


class KeyCodeEncoder(nn.Module):
    """VQGAN's encoder and a sigmoid (section 3.1, appendix A.1): attention from `attention_from` down to H_z.

    predicted: numbers that the noise rule predicts for each key, in further channels without the sigmoid.
    """

    def __init__(
        self, settings: EncoderSettings, code_size: CodeSize, resolution: int, channels: int, predicted: int = 0
    ):
        super().__init__()
        attends = settings.attention_from.__ge__
        shape = network_shape(settings, resolution, code_size, attends, attends(code_size.height))
        self.network, self.keys = Encoder(channels, code_size.channels * (1 + predicted), shape), code_size.channels
        if settings.activation == "leaky_relu":
            use_leaky_relu(self.network)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> keys (N, C_z, H_z, W_z) in [0, 1], followed by predicted numbers."""
        encoded = self.network(images).float()
        if encoded.shape[1] == self.keys:
            return encoded.sigmoid()
        return torch.cat([encoded[:, : self.keys].sigmoid(), encoded[:, self.keys :]], dim=1)


class Bright(ImageAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    code_range = (0.0, 1.0)
    # All but retrieval, which has its own kernels, and the drawing of noise.
    compiled_parts = ("encoder", "group_mlps", "style_mlp", "synthesis.blocks")

    def __init__(self, settings: Autoencoder, resolution: int, channels: int):
        super().__init__()
        settings.check_resolution(resolution)
        self.settings, self.resolution, self.channels = settings, resolution, channels
        self.noise = NOISES[settings.code_noise]
        self.encoder = KeyCodeEncoder(settings.encoder, settings.code_size, resolution, channels, self.noise.predicted)
        tables, size, width = settings.tables, settings.feature_size, settings.feature_channels
        self.tables: HashTableGroups | TiledKeys
        self.group_mlps: GroupMLPs | StyledGroupMLPs
        style = settings.decoder.style_width
        if settings.features == "mlp":  # one MLP that is as wide as those of all groups
            self.tables = TiledKeys(size, tables.coordinates)
            retrieved = settings.code_size.channels + 2 * tables.coordinates
            self.group_mlps = GroupMLPs(1, retrieved, tables.hidden_width * groups(settings), width)
        else:
            self.tables = HashTableGroups(tables, groups(settings), size)
            retrieved = tables.resolutions * tables.features_per_entry
            if settings.style == "groups":
                self.group_mlps = StyledGroupMLPs(groups(settings), retrieved, width, style)
            else:
                self.group_mlps = GroupMLPs(groups(settings), retrieved, tables.hidden_width, width)
        self.style_mlp = StyleMLP(width, style if settings.style == "feature_block" else 0)
        widths = synthesis_widths(settings.decoder.channels, width, size, resolution)
        self.synthesis = Synthesis(widths, size, channels, style)

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> keys (N, C_z, H_z, W_z) in [0, 1]."""
        return self.encoded(images)[0]

    def encoded(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (N, C_z, H_z, W_z), and the numbers that the noise rule predicts for them."""
        return self.encoder(images).tensor_split([self.settings.code_size.channels], dim=1)

    def decode(self, code: Tensor, noise: NoiseSource | None = None) -> Tensor:
        """Key codes (N, C_z, H_z, W_z) in [0, 1] -> images (N, C, R, R)."""
        return self.decode_tiled(tile(code, self.settings.feature_size), noise)

    def decode_tiled(self, tiled_code: Tensor, noise: NoiseSource | None = None) -> Tensor:
        """Tiled key codes (N, C_z, H_d, W_d) -> images (N, C, R, R) (sections 3.2 and 3.3).

        noise: a source of standard normal numbers for the synthesis; by default its constant noise.
        """
        return self.synthesis(*self.features(self.tables.retrieve(tiled_code)), noise)

    def features(self, retrieved: Tensor) -> tuple[Tensor, Tensor]:
        """Retrieved features (N, N_h, N_r C_v, H_d, W_d) -> feature block (N, C_d, H_d, W_d) and style code (N, s)."""
        features = self.group_mlps(retrieved)
        return features if isinstance(features, tuple) else (features, self.style_mlp(features))

    def reconstruct_noisy(self, images: Tensor, random: Draws) -> Tensor:
        """Reconstructions with training's noise on the keys, as the authors' code measures them."""
        keys, predicted = self.encoded(images)
        return self.decode_tiled(self.noise.tiled(keys, predicted, self.settings, random))

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions from perturbed key codes, with noise in the synthesis, and the penalties on keys."""
        keys, predicted = self.encoded(images)
        penalties = self.noise.penalties(keys, predicted, self.settings)
        penalties |= key_penalties(self.settings, self.tables.retrieve, keys)
        # A NaN key would index a table out of range, which ends the process: it reads the first entry instead.
        tiled_code = self.noise.tiled(keys.nan_to_num(), predicted.nan_to_num(), self.settings, random)
        reconstructions = self.decode_tiled(tiled_code, noise=random.normal)
        # Its image becomes NaN again, so that the training loop reports it.
        return reconstructions + 0 * keys.detach().mean((1, 2, 3), keepdim=True), penalties

    def decode_noisy(self, codes: Tensor, random: Draws) -> Tensor:
        """Images of codes that have their noise, with noise in the synthesis."""
        return self.decode(codes, noise=random.normal)

    def code_moments(self, images: Tensor, count: int) -> Tensor | None:
        if not self.noise.needs_moments(self.settings):
            return None
        keys, predicted = (part[:count] for part in self.encoded(images))
        return code_bits.posterior_moments(keys, 2 * self.noise.log_widths(keys, predicted, self.settings))

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """The bits that training's noise leaves to keys in [0, 1]."""
        height, width, channels = self.settings.code_size
        sums = [batch for batch in moments if batch is not None]
        bounds = [code_bits.posterior_bits(sums, height * width)] if sums else []
        if (fixed := self.noise.fixed(self.settings)) is not None:
            bounds.append(code_bits.noise_bits(height * width * channels, *fixed))
        return min(bounds, default=super().code_bits())

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights to the image at full resolution."""
        return self.synthesis.blocks[-1].to_image.weight

    def frozen(self) -> AbstractContextManager[None]:
        """Retrieval caches the parts of its result that do not depend on codes."""
        return self.tables.frozen()

    def count_hits(self, codes: Tensor) -> Tensor:
        """Hits (N_h, entries) of the finest resolution's tables (section 3.4)."""
        return self.tables.count_hits(tile(codes, self.settings.feature_size), self.settings.tables.resolutions - 1)

    def reachable_entries(self) -> Tensor:
        """The entries (entries,) of the finest resolution that any key can hit, as booleans."""
        return self.tables.reachable_entries(self.settings.tables.resolutions - 1)


def groups(settings: Autoencoder) -> int:
    """N_h, the number of groups."""
    return settings.code_size.channels // settings.tables.key_length
