"""Diffusion models of codes or images: their network, their scale, sampling, and their files.

Samplers are DDPM, DDIM and DPM-Solver++ of diffusers, on the training's schedule. Image i's noise, at the start and at
every step, comes from a generator named by (seed, i): batches, shards and processes change nothing (promise 3). Key
codes are bounded, so the predicted clean code is clipped to [-1, 1] at every step; codes without bounds are not.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, UNet2DModel
from torch import Tensor, nn

from pipeline.models.checkpoints import filled, load_model, save_model
from pipeline.models.generator import noise_generators
from pipeline.settings.diffusion import Denoising, Diffusion, Sampler, UNet
from pipeline.settings.fields import CodeSize, Section


@dataclass(frozen=True)
class Rescaling:
    """codes -> (codes - shift) * scale; `bound` is where rescaled codes are clipped while sampling, None: nowhere.

    Key codes have strict bounds, which become [-1, 1] (section 3.4); the codes of other families have none, and LDM
    divides them by the standard deviation of the first batch (Rombach et al. 2022, appendix G).
    """

    shift: float = 0.0
    scale: float = 1.0
    bound: float | None = None

    def apply(self, codes: Tensor) -> Tensor:
        """Codes as the diffusion model sees them."""
        return (codes - self.shift) * self.scale

    def undo(self, rescaled: Tensor) -> Tensor:
        """Codes as the autoencoder decodes them, inside their bounds."""
        if self.bound is not None:
            rescaled = rescaled.clamp(-self.bound, self.bound)
        return rescaled / self.scale + self.shift


def fit_rescaling(rule: str, bounds: tuple[float, float] | None, first_batch: Tensor) -> Rescaling:
    """Of codes with these bounds; first_batch: (N, C_z, H_z, W_z). ValueError where the rule lacks bounds."""
    if rule == "range" and bounds is None:
        raise ValueError("rescaling: range needs codes with bounds, which this family's have not; use first_batch")
    if bounds is not None and rule in ("auto", "range"):
        low, high = bounds
        return Rescaling((low + high) / 2, 2 / (high - low), 1.0)
    if rule == "none":
        return Rescaling()
    return Rescaling(0.0, 1 / float(first_batch.double().std(correction=0)))


# LDM's are diffusers' defaults; DDPM's are those of its code (hojonathanho/diffusion), where the sine comes first.
VARIANTS: dict[str, dict[str, Any]] = {
    "ldm": {"flip_sin_to_cos": True, "freq_shift": 0, "norm_eps": 1e-5, "downsample_padding": 1},
    "ddpm": {"flip_sin_to_cos": False, "freq_shift": 1, "norm_eps": 1e-6, "downsample_padding": 0},
}


def build_unet(settings: UNet, code_size: CodeSize) -> UNet2DModel:
    """The network (section 4, appendix A.2) of codes (N, C_z, H_z, W_z) in [-1, 1]; attention at some resolutions."""
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
    """The noise schedule as diffusers' schedulers take it."""
    first, last = settings.beta_range
    steps = {"num_train_timesteps": settings.timesteps, "beta_schedule": settings.schedule}
    return {**steps, "beta_start": first, "beta_end": last}


def make_scheduler(settings: Denoising, sampler: Sampler, bound: float | None) -> Any:
    """diffusers' scheduler for noise prediction; with a bound, the clean code is clipped to ± it at every step."""
    common = schedule_arguments(settings)
    clip = {"clip_sample": bound is not None, "clip_sample_range": bound or 1.0}
    match sampler.kind:
        case "ddpm":
            scheduler: Any = DDPMScheduler(**common, **clip)
        case "ddim":
            scheduler = DDIMScheduler(**common, **clip)
        case "dpm_solver":
            # The cosine schedule ends at an SNR of zero, where the solver's lambda is -infinity: -5.1 is
            # diffusers' advice. A quantile of 1.0 makes dynamic thresholding a plain clip.
            scheduler = DPMSolverMultistepScheduler(
                **common,
                lambda_min_clipped=-5.1,
                thresholding=bound is not None,
                dynamic_thresholding_ratio=1.0,
                sample_max_value=bound or 1.0,
            )
    scheduler.set_timesteps(sampler.steps)
    return scheduler


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
    """Codes or images (len(indices), *shape) with these indices; shape: (C, H, W).

    They are on the scale that they had before `rescaling`, inside their bounds: key codes in [0, 1].
    """
    device = next(unet.parameters()).device
    scheduler = make_scheduler(settings, sampler, rescaling.bound)
    generators = noise_generators(seed, indices)
    codes = torch.stack([torch.randn(tuple(shape), generator=generator) for generator in generators]).to(device)
    codes = codes * scheduler.init_noise_sigma
    takes_noise = {"generator": generators} if sampler.kind == "ddpm" else {}
    for timestep in scheduler.timesteps:
        predicted = unet(scheduler.scale_model_input(codes, timestep), timestep).sample
        codes = scheduler.step(predicted, timestep, codes, **takes_noise).prev_sample
    return rescaling.undo(codes)


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


class DiffusionFacts(Section):
    """What the file of a diffusion model says."""

    diffusion: Diffusion
    code_size: tuple[int, int, int]
    rescaling: Rescaling


def save_diffusion(path: Path, model: nn.Module, settings: Diffusion, code_size: CodeSize, scale: Rescaling) -> None:
    """Weights and config of a diffusion model on codes of this size."""
    save_model(path, model, "diffusion", settings, code_size=list(code_size), rescaling=asdict(scale))


def load_diffusion(path: Path, device: torch.device | None = None) -> TrainedDiffusion:
    """The diffusion model in a file."""
    found, weights = load_model(path, "diffusion", DiffusionFacts)
    code_size = CodeSize(*found.code_size)
    unet = filled(build_unet(found.diffusion.unet, code_size), weights, path, device)
    return TrainedDiffusion(found.diffusion, code_size, found.rescaling, unet)
