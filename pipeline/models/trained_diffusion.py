"""A trained diffusion model as a file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.base.parsing import parse_settings
from pipeline.models.checkpoints import filled, load_model, save_model
from pipeline.models.rescaling import Rescaling
from pipeline.models.samplers import denoise
from pipeline.models.unet import build_unet
from pipeline.settings.diffusion import Diffusion, Sampler
from pipeline.settings.fields import CodeSize


@dataclass(frozen=True)
class TrainedDiffusion:
    """A diffusion model: its settings, the size of its codes, how they are rescaled, and its network."""

    settings: Diffusion
    code_size: CodeSize
    rescaling: Rescaling
    unet: Any

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """Codes (len(indices), C_z, H_z, W_z) with these indices, as the autoencoder decodes them."""
        height, width, channels = self.code_size
        return denoise(self.unet, self.settings, sampler, indices, seed, (channels, height, width), self.rescaling)


def save_diffusion(path: Path, model: nn.Module, settings: Diffusion, code_size: CodeSize, scale: Rescaling) -> None:
    """Weights and config of a diffusion model on codes of this size."""
    save_model(path, model, "diffusion", settings, code_size=list(code_size), rescaling=asdict(scale))


def load_diffusion(path: Path, device: torch.device | None = None) -> TrainedDiffusion:
    """The diffusion model in a file."""
    config, weights = load_model(path, "diffusion")
    settings = parse_settings(Diffusion, config["diffusion"], str(path))
    code_size = CodeSize(*config["code_size"])
    unet = filled(build_unet(settings.unet, code_size), weights, path, device)
    return TrainedDiffusion(settings, code_size, Rescaling(**config["rescaling"]), unet)
