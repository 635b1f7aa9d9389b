"""BRIGHT (section 3, figure 3): encoding, hash retrieval, decoding.

image -> key code z -> tiled key code -> unit keys + (x, y) -> retrieved features -> feature block -> image
"""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager
from itertools import pairwise

import torch
from torch import Tensor, nn

from bright_pipeline.models import code_bits
from bright_pipeline.models.autoencoder import Draws, ImageAutoencoder, in_float32
from bright_pipeline.models.code_bits import CodeBits
from bright_pipeline.models.decoder import NoiseSource, StyleMLP, Synthesis, synthesis_widths
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.vqgan_network import Encoder, network_shape
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.autoencoder import Encoder as EncoderSettings
from bright_pipeline.settings.fields import CodeSize

LOG_WIDTHS = (-12.0, math.log(0.5))  # bounds of learned widths: from no noise in float32 to half the range of a key


class KeyCodeEncoder(nn.Module):
    """VQGAN's encoder and a sigmoid (section 3.1, appendix A.1): attention from `attention_from` down to H_z.

    widths: whether a width is predicted for each key, in as many further channels without the sigmoid.
    """

    def __init__(
        self, settings: EncoderSettings, code_size: CodeSize, resolution: int, channels: int, widths: bool = False
    ):
        super().__init__()

        def attends(side: int) -> bool:
            return side <= settings.attention_from

        shape = network_shape(settings, resolution, code_size, attends, attends(code_size.height))
        self.network, self.keys = Encoder(channels, code_size.channels * (1 + widths), shape), code_size.channels

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> keys (N, C_z, H_z, W_z) in [0, 1], followed by any widths."""
        found = self.network(images).float()
        if found.shape[1] == self.keys:
            return found.sigmoid()
        return torch.cat([found[:, : self.keys].sigmoid(), found[:, self.keys :]], dim=1)


class GroupMLPs(nn.Module):
    """F_mlp of all groups in parallel (equation 2): N_r C_v -> hidden -> hidden -> C_d / N_h, with ReLU between."""

    def __init__(self, groups: int, retrieved: int, hidden: int, feature_channels: int):
        super().__init__()
        widths = [retrieved, hidden, hidden, feature_channels // groups]
        self.weights, self.biases = nn.ParameterList(), nn.ParameterList()
        for inputs, outputs in pairwise(widths):
            bound = 1 / math.sqrt(inputs)  # PyTorch's initialization of a linear layer
            self.weights.append(nn.Parameter(torch.empty(groups, outputs, inputs).uniform_(-bound, bound)))
            self.biases.append(nn.Parameter(torch.empty(groups, outputs, 1).uniform_(-bound, bound)))

    def forward(self, retrieved: Tensor) -> Tensor:
        """(N, N_h, N_r C_v, H_d, W_d) -> the feature block (N, C_d, H_d, W_d), in float32 even under autocast."""

        def mlps(features: Tensor, *layers: Tensor) -> Tensor:
            weights, biases = layers[: len(layers) // 2], layers[len(layers) // 2 :]
            for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
                features = torch.matmul(weight, features) + bias
                if number < len(weights) - 1:
                    features = features.relu()
            return features

        found = in_float32(mlps, retrieved.flatten(3), *self.weights, *self.biases)
        return found.flatten(1, 2).unflatten(-1, retrieved.shape[-2:])


class TiledKeys(nn.Module):
    """BRIGHT without hash tables, an ablation of section 3.2: the MLP reads the tiled key instead of features.

    Equation 2 becomes f_ij = F_mlp([z_ij; x; y]). An MLP of three layers reads the C_z channels of the tiled key at
    pixel (i, j), with the coordinates of equation 1 unless `tables.coordinates` is off. It returns the C_d numbers of
    all groups. Its hidden layers are as wide as those of all groups together, N_h x `tables.hidden_width`. This module
    takes the place of the tables: it returns the MLP's input, and has no weights and no entries.
    """

    def __init__(self, feature_size: int, coordinates: bool):
        super().__init__()
        self.coordinates = coordinates
        centers = (torch.arange(feature_size, device="cpu") + 0.5) / feature_size
        self.register_buffer("pixels", torch.stack(torch.meshgrid(centers, centers, indexing="ij")), persistent=False)

    def retrieve(self, tiled_code: Tensor) -> Tensor:
        """(N, C_z, H_d, W_d) in [0, 1] -> (N, 1, C_z + 2, H_d, W_d), or C_z numbers without coordinates."""
        if not self.coordinates:
            return tiled_code[:, None]
        pixels = self.get_buffer("pixels").to(tiled_code.dtype).expand(len(tiled_code), -1, -1, -1)
        return torch.cat([tiled_code, pixels], dim=1)[:, None]


class Bright(ImageAutoencoder):
    """The autoencoder of `settings` for images of `resolution` x `resolution` with `channels` channels."""

    code_range = (0.0, 1.0)
    # All but retrieval, which has its own kernels, and the drawing of noise.
    compiled_parts = ("encoder", "group_mlps", "style_mlp", "synthesis.blocks")

    def __init__(self, settings: Autoencoder, resolution: int, channels: int):
        super().__init__()
        settings.check_resolution(resolution)
        self.settings, self.resolution, self.channels = settings, resolution, channels
        learned = settings.code_noise == "learned"
        self.encoder = KeyCodeEncoder(settings.encoder, settings.code_size, resolution, channels, learned)
        tables, size, width = settings.tables, settings.feature_size, settings.feature_channels
        self.tables: HashTableGroups | TiledKeys
        if settings.features == "mlp":  # one MLP that is as wide as those of all groups
            self.tables = TiledKeys(size, tables.coordinates)
            retrieved = settings.code_size.channels + 2 * tables.coordinates
            self.group_mlps = GroupMLPs(1, retrieved, tables.hidden_width * groups(settings), width)
        else:
            self.tables = HashTableGroups(tables, groups(settings), size)
            retrieved = tables.resolutions * tables.features_per_entry
            self.group_mlps = GroupMLPs(groups(settings), retrieved, tables.hidden_width, width)
        self.style_mlp = StyleMLP(width, settings.decoder.style_width)
        widths = synthesis_widths(settings.decoder.channels, width, size, resolution)
        self.synthesis = Synthesis(widths, size, channels, settings.decoder.style_width)

    def encode(self, images: Tensor) -> Tensor:
        """(N, C, R, R) in [-1, 1] -> keys (N, C_z, H_z, W_z) in [0, 1]."""
        return self.encoder(images)[:, : self.settings.code_size.channels]

    def noisy_keys(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Keys (N, C_z, H_z, W_z), and the logarithms of their noise's standard deviations, learned or fixed.

        Learned widths start near the fixed one. Fixed noise after tiling reaches the decoder (H_d / H_z)^2 times; the
        mean of these copies has as much of their information, and its deviation is the one returned.
        """
        settings, found = self.settings, self.encoder(images)
        keys, fixed = found[:, : settings.code_size.channels], math.log(self.deviation)
        if settings.code_noise == "learned":
            return keys, (found[:, settings.code_size.channels :] + fixed).clamp(*LOG_WIDTHS)
        return keys, torch.full_like(keys, fixed - math.log(self.copies) / 2)

    @property
    def deviation(self) -> float:
        """The standard deviation of fixed noise, at which learned widths start (section 3.4)."""
        return self.settings.code_noise_cells / self.settings.tables.finest_resolution

    @property
    def copies(self) -> int:
        """How often the decoder reads a key with noise of its own."""
        after = self.settings.code_noise == "after_tiling"
        return (self.settings.feature_size // self.settings.code_size.height) ** 2 if after else 1

    def decode(self, code: Tensor, perturbation: Tensor | None = None, noise: NoiseSource | None = None) -> Tensor:
        """Key codes (N, C_z, H_z, W_z) in [0, 1] -> images (N, C, R, R) (sections 3.2 and 3.3).

        perturbation: standard normal numbers of shape `perturbation_shape(N)`, in training (section 3.4).
        noise: a source of standard normal numbers for the synthesis; by default its constant noise.
        """
        # The feature block (N, C_d, H_d, W_d) of section 3.2.
        feature_block = self.group_mlps(self.tables.retrieve(self.tiled(code, perturbation)))
        return self.synthesis(feature_block, self.style_mlp(feature_block), noise)

    def tiled(self, code: Tensor, perturbation: Tensor | None = None) -> Tensor:
        """Key codes -> tiled key codes (N, C_z, H_d, W_d), perturbed before or after the tiling."""
        finest, cells = self.settings.tables.finest_resolution, self.settings.code_noise_cells
        if perturbation is not None and self.settings.code_noise == "before_tiling":
            code = perturb(code, finest, perturbation, cells)
        tiled_code = tile(code, self.settings.feature_size)
        if perturbation is not None and self.settings.code_noise == "after_tiling":
            tiled_code = perturb(tiled_code, finest, perturbation, cells)
        return tiled_code

    def fine_change(self, codes: Tensor) -> Tensor:
        """The mean squared change of features at the finer half of the levels when keys move by one finest cell."""
        tables = self.settings.tables
        cell, coarse = 1 / tables.finest_resolution, tables.resolutions // 2 * tables.features_per_entry
        moved = torch.where(codes < 0.5, codes + cell, codes - cell)  # towards the middle, within [0, 1]
        here, there = (self.tables.retrieve(tile(keys, self.settings.feature_size)) for keys in (codes, moved))
        return (there - here)[:, :, coarse:].square().mean()

    def perturbation_shape(self, batch: int) -> tuple[int, int, int, int] | None:
        """The shape of `decode`'s perturbation in training; None without code noise."""
        side, _, channels = self.settings.code_size
        if self.settings.code_noise in ("none", "learned"):
            return None
        side = side if self.settings.code_noise == "before_tiling" else self.settings.feature_size
        return (batch, channels, side, side)

    def training_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions from perturbed key codes, with noise in the synthesis, and the penalties on keys."""
        losses, own = self.settings.losses, dict[str, Tensor]()
        if self.settings.code_noise == "learned":
            codes, log_widths = self.noisy_keys(images)
            own["width_penalty"] = -losses.width_penalty * log_widths.mean()
            read = (codes + log_widths.exp() * random.normal(tuple(codes.shape))).clamp(0, 1)
        else:
            read = codes = self.encode(images)
        if losses.key_penalty:
            own["key_penalty"] = losses.key_penalty * (codes - 0.5).square().mean()
        if losses.smoothness_penalty:
            own["smoothness_penalty"] = losses.smoothness_penalty * self.fine_change(codes.nan_to_num())
        shape = self.perturbation_shape(len(images))
        perturbation = random.normal(shape) if shape is not None else None
        # A NaN key would index a table out of range, which ends the process: it reads the first entry instead.
        reconstructions = self.decode(read.nan_to_num(), perturbation=perturbation, noise=random.normal)
        # Its image becomes NaN again, so that the training loop reports it.
        return reconstructions + 0 * codes.detach().mean((1, 2, 3), keepdim=True), own

    def decode_noisy(self, codes: Tensor, random: Draws) -> Tensor:
        """Images of codes that have their noise, with noise in the synthesis."""
        return self.decode(codes, noise=random.normal)

    def code_moments(self, images: Tensor, count: int) -> Tensor | None:
        """The moments of noisy keys, where they limit a code's bits more than the bounds of [0, 1] do."""
        limited = self.settings.code_noise == "learned" or self.settings.losses.key_penalty > 0
        if not limited or self.settings.code_noise == "none":
            return None
        keys, log_widths = self.noisy_keys(images)
        return code_bits.posterior_moments(keys[:count], 2 * log_widths[:count])

    def code_bits(self, moments: Sequence[Tensor | None] = ()) -> CodeBits:
        """The bits that training's noise leaves to keys in [0, 1]."""
        height, width, channels = self.settings.code_size
        if self.settings.code_noise == "none":
            return super().code_bits(moments)
        known = [found for found in moments if found is not None]
        found = [code_bits.of_posteriors(known, height * width)] if known else []
        if self.settings.code_noise != "learned":
            found.append(code_bits.of_bounded_numbers(height * width * channels, self.deviation, self.copies))
        return min(found, default=super().code_bits())

    @property
    def last_layer(self) -> nn.Parameter:
        """The weights to the image at full resolution."""
        return self.synthesis.blocks[-1].to_image.weight

    def frozen(self) -> AbstractContextManager[None]:
        """Retrieval caches the parts of its result that do not depend on codes."""
        return super().frozen() if isinstance(self.tables, TiledKeys) else self.tables.frozen()

    def count_hits(self, codes: Tensor) -> Tensor:
        """Hits (N_h, entries) of the finest resolution's tables (section 3.4)."""
        if isinstance(self.tables, TiledKeys):
            return super().count_hits(codes)
        return self.tables.count_hits(tile(codes, self.settings.feature_size), self.settings.tables.resolutions - 1)

    def reachable_entries(self) -> Tensor:
        """The entries (entries,) of the finest resolution that any key can hit, as booleans."""
        if isinstance(self.tables, TiledKeys):
            return super().reachable_entries()
        return self.tables.reachable_entries(self.settings.tables.resolutions - 1)


def groups(settings: Autoencoder) -> int:
    """N_h, the number of groups."""
    return settings.code_size.channels // settings.tables.key_length


def tile(code: Tensor, feature_size: int) -> Tensor:
    """Repeat each key along both axes (section 3.2): (N, C_z, H_z, W_z) -> (N, C_z, H_d, W_d)."""
    height, width = code.shape[-2:]
    return code.repeat_interleave(feature_size // height, dim=-2).repeat_interleave(feature_size // width, dim=-1)


def perturb(code: Tensor, finest_resolution: int, noise: Tensor, cells: float = 0.25) -> Tensor:
    """Relax the precision of a key code (section 3.4, figure 5c).

    code: in [0, 1]; noise: standard normal numbers of the same shape. The standard deviation is `cells` cells of the
    finest resolution, by default a quarter: 1 / (4 r_max). The perturbed key stays in [0, 1].
    """
    return (code + noise / (finest_resolution / cells)).clamp(0, 1)
