"""From noise to codes or images: DDPM, DDIM and DPM-Solver++ of diffusers, on the training's schedule.

Image i's noise, at the start and at every step, comes from a generator named by (seed, i): batches,
shards and processes change nothing (promise 3). Key codes are bounded, so the predicted clean code
is clipped to [-1, 1] at every step; codes without bounds are not.
"""

from typing import Any

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from torch import Tensor, nn

from pipeline.models.noise import noise_generators
from pipeline.models.rescaling import Rescaling
from pipeline.settings.diffusion import Denoising, Sampler


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
