"""Tiling of key codes (section 3.2) and their noise in training (section 3.4): a rule for each value of `code_noise`.

A rule maps the encoder's keys z in [0, 1] to the noisy tiled key code that the decoder reads in training. Its widths
bound the bits of a code (`bright_pipeline/models/code_bits.py`), and tables print its words. `NOISES` has all rules.
The plan and the tables use this module: it does not import torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bright_pipeline.settings.autoencoder import Autoencoder

if TYPE_CHECKING:
    from torch import Tensor

    from bright_pipeline.models.autoencoder import Draws

LOG_WIDTHS = (-12.0, math.log(0.5))  # bounds of learned widths: from no noise in float32 to half the range of a key


@dataclass(frozen=True)
class KeyNoise:
    """A rule for the noise of keys; this class adds none.

    keys: (N, C_z, H_z, W_z); predicted: further channels (N, C_z x predicted, H_z, W_z) of the encoder.
    """

    name: str  # the value of `code_noise`
    words: str  # in tables, behind the method; "" for the paper's rule
    predicted: int = 0  # numbers that the encoder predicts for each key

    def tiled(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder, random: "Draws") -> "Tensor":
        """The tiled key code (N, C_z, H_d, W_d) that training decodes, in [0, 1]."""
        return tile(keys, settings.feature_size)

    def needs_moments(self, settings: Autoencoder) -> bool:
        """Whether the moments of noisy keys can limit a code's bits more than the bounds of [0, 1] do."""
        return False

    def log_widths(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder) -> "Tensor":
        """The logarithms (N, C_z, H_z, W_z) of the standard deviations of all that is read of a key."""
        raise NotImplementedError(f"code_noise {self.name}: log_widths")

    def penalties(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder) -> dict[str, "Tensor"]:
        """Weighted losses of the predicted numbers, by name."""
        return {}

    def fixed(self, settings: Autoencoder) -> tuple[float, int] | None:
        """A standard deviation for all keys, and how often the decoder reads a key with noise of its own."""
        return None


@dataclass(frozen=True)
class FixedNoise(KeyNoise):
    """Noise of one width for all keys: `code_noise_cells` cells of the finest resolution."""

    after_tiling: bool = False  # each copy of a key has noise of its own

    def tiled(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder, random: "Draws") -> "Tensor":
        code = tile(keys, settings.feature_size) if self.after_tiling else keys
        noise = random.normal(tuple(code.shape))
        code = perturb(code, settings.tables.finest_resolution, noise, settings.code_noise_cells)
        return code if self.after_tiling else tile(code, settings.feature_size)

    def needs_moments(self, settings: Autoencoder) -> bool:
        return settings.losses.key_penalty > 0  # keys then fill a part of [0, 1] only

    def log_widths(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder) -> "Tensor":
        """The mean of a key's noisy copies has all their information: its deviation is returned."""
        width, copies = self.fixed(settings)
        return keys.new_full(keys.shape, math.log(width) - math.log(copies) / 2)

    def fixed(self, settings: Autoencoder) -> tuple[float, int]:
        copies = (settings.feature_size // settings.code_size.height) ** 2 if self.after_tiling else 1
        return deviation(settings), copies


@dataclass(frozen=True)
class LearnedNoise(KeyNoise):
    """Noise before tiling, whose width the encoder predicts for each key (beyond the paper)."""

    predicted: int = 1

    def tiled(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder, random: "Draws") -> "Tensor":
        noise = self.log_widths(keys, predicted, settings).exp() * random.normal(tuple(keys.shape))
        return tile((keys + noise).clamp(0, 1), settings.feature_size)

    def log_widths(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder) -> "Tensor":
        """They start near the width of fixed noise."""
        return (predicted + math.log(deviation(settings))).clamp(*LOG_WIDTHS)

    def penalties(self, keys: "Tensor", predicted: "Tensor", settings: Autoencoder) -> dict[str, "Tensor"]:
        """The width penalty: the mean of -ln(width)."""
        return {"width_penalty": -settings.losses.width_penalty * self.log_widths(keys, predicted, settings).mean()}

    def needs_moments(self, settings: Autoencoder) -> bool:
        return True


NONE = KeyNoise("none", "without noise")
AFTER_TILING = FixedNoise("after_tiling", "", after_tiling=True)
BEFORE_TILING = FixedNoise("before_tiling", "noise before tiling")
LEARNED = LearnedNoise("learned", "learned noise")
NOISES: dict[str, KeyNoise] = {rule.name: rule for rule in (AFTER_TILING, BEFORE_TILING, LEARNED, NONE)}


def noise_of(settings: Any) -> KeyNoise:
    """The rule of an autoencoder of any family."""
    return NOISES[settings.code_noise] if isinstance(settings, Autoencoder) else NONE


def deviation(settings: Autoencoder) -> float:
    """The standard deviation of fixed noise."""
    return settings.code_noise_cells / settings.tables.finest_resolution


def tile(code: "Tensor", feature_size: int) -> "Tensor":
    """Repeat each key along both axes (section 3.2): (N, C_z, H_z, W_z) -> (N, C_z, H_d, W_d)."""
    height, width = code.shape[-2:]
    return code.repeat_interleave(feature_size // height, dim=-2).repeat_interleave(feature_size // width, dim=-1)


def perturb(code: "Tensor", finest_resolution: int, noise: "Tensor", cells: float = 0.25) -> "Tensor":
    """Relax the precision of a key code (section 3.4, figure 5c).

    code: in [0, 1]; noise: standard normal numbers of the same shape. The standard deviation is `cells` cells of the
    finest resolution, by default a quarter: 1 / (4 r_max). The perturbed key stays in [0, 1].
    """
    return (code + noise / (finest_resolution / cells)).clamp(0, 1)


def key_penalties(settings: Autoencoder, retrieve: "Callable[[Tensor], Tensor]", keys: "Tensor") -> dict[str, "Tensor"]:
    """The weighted penalties (`losses`) on keys (N, C_z, H_z, W_z), by name: they make codes easier to model."""
    losses, penalties = settings.losses, dict[str, "Tensor"]()
    if losses.key_penalty:
        penalties["key_penalty"] = losses.key_penalty * (keys - 0.5).square().mean()
    if losses.smoothness_penalty:
        change = fine_change(settings, retrieve, keys.nan_to_num())
        penalties["smoothness_penalty"] = losses.smoothness_penalty * change
    return penalties


def fine_change(settings: Autoencoder, retrieve: "Callable[[Tensor], Tensor]", keys: "Tensor") -> "Tensor":
    """The mean squared change of features at the finer half of the levels when keys move by one finest cell."""
    cell = 1 / settings.tables.finest_resolution
    coarse = settings.tables.resolutions // 2 * settings.tables.features_per_entry
    moved = (keys + cell).where(keys < 0.5, keys - cell)  # towards the middle, within [0, 1]
    here, there = (retrieve(tile(each, settings.feature_size)) for each in (keys, moved))
    return (there - here)[:, :, coarse:].square().mean()
