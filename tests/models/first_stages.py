"""Small autoencoders of all families, for tests."""

from typing import Any

import torch
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.training.batches import StepRandom

FAMILIES = ("vqgan", "rqvae", "kl")
ALL_FAMILIES = (*FAMILIES, "bright")
RESOLUTION, CODE = 16, (4, 4, 4)

SMALL: dict[str, Any] = {
    "dataset": "any",
    "code_size": "4x4x4",
    "network": {"channels": 8, "multipliers": [1, 1, 2], "blocks": 1, "attention_resolutions": [4]},
    "losses": {"perceptual": {"network": "none"}},
}
SMALL_BRIGHT: dict[str, Any] = {
    "dataset": "any",
    "code_size": "4x4x4",
    "feature_size": 8,
    "feature_channels": 16,
    "tables": {"resolutions": 3, "coarsest_resolution": 2, "finest_resolution": 8, "hidden_width": 8},
    "encoder": {"channels": 8, "blocks": 1},
    "decoder": {"style_width": 16},
}
CODEBOOKS: dict[str, Any] = {
    "vqgan": {"codebook": {"entries": 16}},
    "rqvae": {"codebook": {"entries": 16, "depth": 3}},
    "kl": {},
    "bright": {},
}


def small_settings(family: str, **changes: Any) -> AutoencoderSettings:
    """Settings for 16 x 16 images; a section among `changes` adds to the small one."""
    base = (SMALL_BRIGHT if family == "bright" else SMALL) | {"family": family} | CODEBOOKS[family]
    sections = {key: base.get(key, {}) | value if isinstance(value, dict) else value for key, value in changes.items()}
    return autoencoder_family(family).settings.model_validate(base | sections)


def small_model(family: str, channels: int = 1, **changes: Any) -> Any:
    torch.manual_seed(0)
    settings = small_settings(family, **changes)
    return load(autoencoder_family(family).model)(settings, RESOLUTION, channels)


def draws(step: int = 0, batch: int = 4, process: int = 0, processes: int = 1) -> StepRandom:
    return StepRandom(0, step, batch, torch.device("cpu"), process, processes)


def images(count: int = 4, channels: int = 1) -> torch.Tensor:
    return torch.rand(count, channels, RESOLUTION, RESOLUTION, generator=torch.Generator().manual_seed(1)) * 2 - 1
