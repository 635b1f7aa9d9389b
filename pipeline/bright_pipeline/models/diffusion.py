"""Diffusion models of codes or images: network, sampling, and files.

Samplers are DDIM and DPM-Solver++ of diffusers, on the schedule of the training; DDPM is DDIM with eta = 1 (Song et al.
2021, section 4.1). The noise of image i is a function of (seed, i) at the start, and of (seed, i, step) at every step:
batches, shards, processes and devices change nothing (promise 3). Key codes are bounded, so the predicted clean code is
clipped at every step; unbounded codes are not clipped.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from torch import Tensor, nn

from bright_pipeline.families.ddpm import DDPM as DDPMSettings
from bright_pipeline.models.checkpoints import filled, load_model, save_model
from bright_pipeline.models.generator import Generator, noise_generators
from bright_pipeline.models.noise import keys, normal
from bright_pipeline.models.rescaling import Rescaling
from bright_pipeline.settings.diffusion import Denoising, Diffusion, Prediction, Sampler, UNet
from bright_pipeline.settings.fields import CodeSize, Section

# LDM's values are diffusers' defaults; DDPM's are those of its code (hojonathanho/diffusion), with the sine first.
VARIANTS: dict[str, dict[str, Any]] = {
    "ldm": {"flip_sin_to_cos": True, "freq_shift": 0, "norm_eps": 1e-5, "downsample_padding": 1},
    "ddpm": {"flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6, "downsample_padding": 0},
}

# diffusers' names of the predictions, for exported models.
PREDICTION_TYPES: dict[Prediction, str] = {"noise": "epsilon", "velocity": "v_prediction"}


def build_unet(settings: UNet, code_size: CodeSize) -> UNet2DModel:
    """The UNet (section 4, appendix A.2) for codes (N, C_z, H_z, W_z) in [-1, 1]."""
    levels = range(len(settings.multipliers))
    attends = [code_size.height // 2**level in settings.attention_resolutions for level in levels]
    return UNet2DModel(
        sample_size=code_size.height,
        in_channels=code_size.channels,
        out_channels=code_size.channels,
        layers_per_block=settings.blocks,
        block_out_channels=[settings.channels * multiplier for multiplier in settings.multipliers],
        down_block_types=["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        attention_head_dim=settings.head_width,
        norm_num_groups=settings.norm_groups,
        **VARIANTS[settings.variant],
    )


def schedule_arguments(settings: Denoising) -> dict[str, Any]:
    """The noise schedule as arguments of diffusers' schedulers."""
    first, last = settings.beta_range
    steps = {"num_train_timesteps": settings.timesteps, "beta_schedule": settings.schedule}
    return {**steps, "beta_start": first, "beta_end": last}


def make_scheduler(settings: Denoising, sampler: Sampler) -> Any:
    """diffusers' scheduler; it takes the predicted clean code at every step and does not clip it."""
    common = {**schedule_arguments(settings), "prediction_type": "sample"}
    if sampler.kind == "dpm_solver":
        # The cosine schedule ends at an SNR of zero, where the solver's lambda is -infinity; diffusers recommends -5.1.
        scheduler: Any = DPMSolverMultistepScheduler(**common, lambda_min_clipped=-5.1)
    else:
        scheduler = DDIMScheduler(**common, clip_sample=False)
    scheduler.set_timesteps(sampler.steps)
    return scheduler


def predicted_clean(kind: Prediction, predicted: Tensor, noisy: Tensor, alpha_bar: Tensor) -> Tensor:
    """The clean code x of a noisy one, z = sqrt(a) x + sqrt(1 - a) n, from the network's prediction.

    noise: n; velocity: sqrt(a) n - sqrt(1 - a) x (Salimans and Ho 2022, appendix D).
    """
    if kind == "velocity":
        return alpha_bar.sqrt() * noisy - (1 - alpha_bar).sqrt() * predicted
    return (noisy - (1 - alpha_bar).sqrt() * predicted) / alpha_bar.sqrt()


@torch.no_grad()
def denoise(
    unet: nn.Module,
    settings: Denoising,
    sampler: Sampler,
    indices: list[int],
    seed: int,
    shape: tuple[int, ...],
    rescaling: Rescaling,
) -> Tensor:
    """Codes or images (len(indices), C, H, W) with these indices, their rescaling undone; shape: (C, H, W)."""
    device = next(unet.parameters()).device
    scheduler = make_scheduler(settings, sampler)
    bars = scheduler.alphas_cumprod.to(device)
    generators = noise_generators(seed, indices)
    codes = torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators]).to(device)
    codes = codes * scheduler.init_noise_sigma
    eta = 1.0 if sampler.kind == "ddpm" else sampler.eta
    takes_noise: dict[str, Any] = {"eta": eta} if eta else {}
    signal = 1 / (1 + sampler.final_noise**2)  # alpha-bar of a code with noise of this deviation
    for step, timestep in enumerate(scheduler.timesteps):
        if scheduler.alphas_cumprod[timestep] >= signal:  # the code is as clean as wanted; never at 1
            codes = codes / bars[timestep].sqrt()
            break
        if eta:
            takes_noise["variance_noise"] = normal(keys(seed, indices, "denoising", step, device), shape)
        predicted = unet(scheduler.scale_model_input(codes, timestep), timestep).sample.float()
        clean = rescaling.clip(predicted_clean(settings.prediction, predicted, codes, bars[timestep]))
        codes = scheduler.step(clean, timestep, codes, **takes_noise).prev_sample
    return rescaling.undo(codes)


class TrainedDiffusion(NamedTuple):
    """A trained diffusion model: settings, size and rescaling of its codes, and its UNet."""

    settings: Diffusion
    code_size: CodeSize
    rescaling: Rescaling
    unet: Any

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """Codes (len(indices), C_z, H_z, W_z) with these indices, for the autoencoder to decode."""
        height, width, channels = self.code_size
        return denoise(self.unet, self.settings, sampler, indices, seed, (channels, height, width), self.rescaling)


class DiffusionFacts(Section):
    """The config in the file of a diffusion model."""

    diffusion: Diffusion
    code_size: tuple[int, int, int]
    rescaling: Rescaling


def save_diffusion(path: Path, model: nn.Module, settings: Diffusion, code_size: CodeSize, scale: Rescaling) -> None:
    save_model(path, model, "diffusion", settings, code_size=list(code_size), rescaling=asdict(scale))


def load_diffusion(path: Path, device: torch.device | None = None) -> TrainedDiffusion:
    facts, weights = load_model(path, "diffusion", DiffusionFacts)
    code_size = CodeSize(*facts.code_size)
    unet = filled(lambda: build_unet(facts.diffusion.unet, code_size), weights, path, device)
    return TrainedDiffusion(facts.diffusion, code_size, facts.rescaling, unet)


class DDPM(Generator):
    """DDPM (Ho et al. 2020): images (C, R, R) from noise of the same shape."""

    compiled_parts = ("unet",)

    def __init__(self, settings: DDPMSettings, shape: tuple[int, int, int]):
        super().__init__()
        self.settings, self.shape = settings, shape
        channels, height, width = shape
        self.unet = build_unet(settings.unet, CodeSize(height, width, channels))

    def sample(self, indices: list[int], seed: int, sampler: Sampler) -> Tensor:
        """Images (N, C, R, R) in [-1, 1], without any rescaling."""
        return denoise(self.unet, self.settings, sampler, indices, seed, self.shape, Rescaling(bounds=(-1.0, 1.0)))
