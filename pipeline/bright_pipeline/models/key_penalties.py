"""Penalties on key codes (beyond the paper), which make codes easier to model: `losses` of BRIGHT's settings."""

import torch
from torch import Tensor

from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.key_noise import tile
from bright_pipeline.models.tiled_keys import TiledKeys
from bright_pipeline.settings.autoencoder import Autoencoder


def key_penalties(settings: Autoencoder, tables: HashTableGroups | TiledKeys, keys: Tensor) -> dict[str, Tensor]:
    """The weighted penalties on keys (N, C_z, H_z, W_z) that the config asks for, by name."""
    losses, penalties = settings.losses, dict[str, Tensor]()
    if losses.key_penalty:
        penalties["key_penalty"] = losses.key_penalty * (keys - 0.5).square().mean()
    if losses.smoothness_penalty:
        change = fine_change(settings, tables, keys.nan_to_num())
        penalties["smoothness_penalty"] = losses.smoothness_penalty * change
    return penalties


def fine_change(settings: Autoencoder, tables: HashTableGroups | TiledKeys, keys: Tensor) -> Tensor:
    """The mean squared change of features at the finer half of the levels when keys move by one finest cell."""
    cell = 1 / settings.tables.finest_resolution
    coarse = settings.tables.resolutions // 2 * settings.tables.features_per_entry
    moved = torch.where(keys < 0.5, keys + cell, keys - cell)  # towards the middle, within [0, 1]
    here, there = (tables.retrieve(tile(each, settings.feature_size)) for each in (keys, moved))
    return (there - here)[:, :, coarse:].square().mean()
