"""Stage: import a checkpoint of another program in place of a training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.config.import_job import ImportJob
from pipeline.errors import InputError
from pipeline.foreign.diffusers_folders import import_unet_folder
from pipeline.foreign.files import read_tensors
from pipeline.foreign.first_stages import import_first_stage
from pipeline.foreign.unets import import_ldm_unet, scale_factor
from pipeline.models.checkpoints import (
    make_autoencoder,
    make_generator,
    save_autoencoder,
    save_diffusion,
    save_generator,
)
from pipeline.models.rescaling import Rescaling
from pipeline.models.unet import build_unet
from pipeline.progress import log_to, logger
from pipeline.stage import LogOption, SettingsArgument, read_settings, run_stage


def import_weights(
    settings: SettingsArgument,
    checkpoint: Annotated[Path, typer.Option(help="The other program's file or folder.")],
    weights: Annotated[Path, typer.Option(help="Where the weights go (safetensors), as a training would write them.")],
    log: LogOption = None,
) -> None:
    """Import a checkpoint of another program in place of a training."""
    log_to(log)
    job = read_settings(ImportJob, settings)
    if not checkpoint.exists():
        raise InputError(f"{checkpoint}: no such checkpoint")
    write = {"autoencoder": _autoencoder, "diffusion": _diffusion, "generator": _generator}
    try:
        write[job.sort](job, checkpoint, weights)
    except ValueError as error:
        raise InputError(f"settings: {error}") from None
    logger.info("%s imported from %s to %s", job.kind, checkpoint, weights)


def _autoencoder(job: ImportJob, checkpoint: Path, weights: Path) -> None:
    settings: Any = job.autoencoder
    model = make_autoencoder(settings, job.resolution or 0, job.channels)
    import_first_stage(model, read_tensors(checkpoint), checkpoint)
    save_autoencoder(weights, model, settings, job.resolution or 0, job.channels)


def _diffusion(job: ImportJob, checkpoint: Path, weights: Path) -> None:
    settings, code_size = job.diffusion, job.code_size
    assert settings is not None
    assert code_size is not None
    unet, tensors = build_unet(settings.unet, code_size), read_tensors(checkpoint)
    import_ldm_unet(unet, settings.unet, tensors, checkpoint)
    save_diffusion(weights, unet, settings, code_size, Rescaling(scale=scale_factor(tensors)))


def _generator(job: ImportJob, checkpoint: Path, weights: Path) -> None:
    settings: Any = job.generator
    shape = (job.channels, job.resolution or 0, job.resolution or 0)
    model = make_generator(settings, shape)
    import_unet_folder(model.unet, checkpoint)
    save_generator(weights, model, settings, shape)


if __name__ == "__main__":
    run_stage(import_weights)
