"""The noise schedule of a diffusion model, from its settings."""

from typing import Any

from pipeline.settings.diffusion import Denoising


def schedule_arguments(settings: Denoising) -> dict[str, Any]:
    """The schedule as diffusers' schedulers take it."""
    first, last = settings.beta_range
    return {
        "num_train_timesteps": settings.timesteps,
        "beta_schedule": settings.schedule,
        "beta_start": first,
        "beta_end": last,
    }
