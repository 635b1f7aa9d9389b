"""The decoder of a trained BRIGHT and some key codes, as the key explorer in the page of a run reads them.

Numbers are 16-bit integers with a scale for each tensor. The hash tables are interpolated onto the pixels first (see
`retrieval_separable.py`): a pixel keeps one row of key nodes for each level, which a key then interpolates.
"""

import base64
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.models.bright import Bright
from bright_pipeline.models.decoder import ModulatedConv, ToImage
from bright_pipeline.models.equalized import GAIN, EqualizedLinear
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.retrieval_separable import LevelPlan

MOST_BYTES = 8_000_000  # of numbers; base64 makes a third more of them
INT16_MAX = 32_767
KEY_DECIMALS = 5
RANGE_STDS = 3  # around the mean: the extremes of a collection would hide the differences of the other keys


def without_explorer(model: ImageAutoencoder) -> str | None:
    """Why the explorer cannot show a model; None if it can."""
    if not isinstance(model, Bright) or not isinstance(model.tables, HashTableGroups):
        return "it has no hash tables"
    settings = model.settings.tables
    if settings.key_length != 1 or not settings.coordinates or model.settings.style != "feature_block":
        return "only models with key_length 1, coordinates and style feature_block are supported"
    rows = sum(level.cells + 1 for level in model.tables.levels) * settings.features_per_entry
    decoder = (model.group_mlps, model.style_mlp, model.synthesis)
    numbers = model.tables.groups * model.settings.feature_size**2 * rows
    numbers += sum(weights.numel() for part in decoder for weights in (*part.parameters(), *part.buffers()))
    if 2 * numbers > MOST_BYTES:
        return f"its decoder takes {readable_bytes(2 * numbers)}, more than {readable_bytes(MOST_BYTES)}"
    return None


def explorer_facts(model: Bright, channels: dict[str, Any], codes: Tensor, samples: list[Tensor]) -> dict[str, Any]:
    """The data of an explorer; channels: statistics of each channel of training codes, as in `code_statistics`."""
    keys = {"codes": _rounded(codes), "samples": [code for part in samples for code in _rounded(part)]}
    return {"decoder": explorer_decoder(model), "ranges": key_ranges(channels)} | keys


@torch.no_grad()
def explorer_decoder(model: Bright) -> dict[str, Any]:
    tables, settings = model.tables, model.settings
    assert isinstance(tables, HashTableGroups)
    plans = [LevelPlan(level, settings.feature_size, torch.device("cpu")) for level in tables.levels]
    return {
        "resolution": model.resolution,
        "channels": model.channels,
        "side": settings.feature_size,
        "codeSide": settings.code_size.height,
        "groups": tables.groups,
        "perEntry": settings.tables.features_per_entry,
        "levels": [
            {
                "resolution": plan.level.resolution,
                "scale": plan.level.scale,
                "cells": plan.level.cells,
                "rows": packed(plan.grid(plan.level.part(tables.tables.cpu().float()))),
            }
            for plan in plans
        ],
        "mlps": [
            {"weights": packed(weights), "biases": packed(biases), "outputs": weights.shape[1]}
            for weights, biases in zip(model.group_mlps.weights, model.group_mlps.biases, strict=True)
        ],
        "style": [_linear(layer) for layer in (model.style_mlp.first, model.style_mlp.second) if layer is not None],
        "blocks": [
            {"convolutions": list(map(_convolution, block.convolutions)), "image": _modulated(block.to_image)}
            for block in model.synthesis.blocks
        ],
    }


def key_ranges(channels: dict[str, list[float]]) -> list[tuple[float, float]]:
    """The keys that training codes use in each group: mean ± RANGE_STDS standard deviations, as far as keys reach."""
    statistics = zip(*(channels[key] for key in ("mean", "variance", "minimum", "maximum")), strict=True)
    ranges = []
    for mean, variance, lowest, highest in statistics:
        distance = RANGE_STDS * variance**0.5
        low, high = max(mean - distance, lowest), min(mean + distance, highest)
        ranges.append((round(low, KEY_DECIMALS), round(high, KEY_DECIMALS)) if low < high else (0.0, 1.0))
    return ranges


def _modulated(layer: ModulatedConv | ToImage, gain: float = 1.0) -> dict[str, Any]:
    """Gains are multiplied in."""
    weights, biases = packed(layer.weight * layer.gain), packed(layer.bias * gain)
    return {"inputs": layer.weight.shape[1], "weights": weights, "biases": biases, "affine": _linear(layer.affine)}


def _convolution(layer: ModulatedConv) -> dict[str, Any]:
    noise = packed(layer.noise_buffer * layer.noise_strength * GAIN)
    shape = {"up": layer.blur is not None, "outputs": layer.weight.shape[0]}
    return {**_modulated(layer, GAIN), **shape, "noise": noise}


def _linear(layer: nn.Module | None) -> dict[str, Any] | None:
    if not isinstance(layer, EqualizedLinear):
        return None
    return {"weights": packed(layer.weight * layer.gain), "biases": packed(layer.bias)}


def packed(numbers: Tensor) -> dict[str, Any]:
    """Numbers as base64 of little-endian 16-bit integers, times `scale`."""
    flat = numbers.detach().cpu().double().reshape(-1)
    scale = float(flat.abs().max()) / INT16_MAX or 1.0
    integers = (flat / scale).round().numpy().astype("<i2")
    return {"scale": scale, "data": base64.b64encode(np.ascontiguousarray(integers).tobytes()).decode()}


def _rounded(codes: Tensor) -> list[list[float]]:
    """Keys (N, C_z, H_z, W_z) in [0, 1] -> a list for each code."""
    return [[round(number, KEY_DECIMALS) for number in code] for code in codes.clamp(0, 1).flatten(1).tolist()]
