"""Small autoencoders of all families, for tests."""

from pathlib import Path
from typing import Any

import torch
import yaml
from bright_pipeline.families import autoencoder_family, load
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.training.batches import StepRandom

FAMILIES = ("vqgan", "rqvae", "kl")
ALL_FAMILIES = (*FAMILIES, "bright")
RESOLUTION, CODE = 16, (4, 4, 4)

TINY = yaml.safe_load((Path(__file__).parents[1] / "tiny_models.yaml").read_text(encoding="utf-8"))
CODEBOOKS: dict[str, Any] = {"vqgan": {"codebook": {"entries": 16}}, "rqvae": {"codebook": {"entries": 16, "depth": 3}}}


def small_settings(family: str, **changes: Any) -> AutoencoderSettings:
    """Settings for 16 x 16 images; a section among `changes` adds to the small one."""
    base = TINY["small_bright" if family == "bright" else "small"] | {"family": family} | CODEBOOKS.get(family, {})
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
