"""Stage: import a checkpoint of another program in place of a training."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.base.command import run_stage, stage
from pipeline.base.errors import InputError
from pipeline.base.progress import logger
from pipeline.foreign.diffusers_folders import import_unet_folder
from pipeline.foreign.files import read_tensors
from pipeline.foreign.first_stages import import_first_stage
from pipeline.foreign.unets import import_ldm_unet, scale_factor
from pipeline.models.checkpoints import make_autoencoder, make_generator, save_autoencoder, save_generator
from pipeline.models.rescaling import Rescaling
from pipeline.models.trained_diffusion import save_diffusion
from pipeline.models.unet import build_unet
from pipeline.stages.autoencoders import SORTS, ImportJob


@stage
def import_weights(
    job: ImportJob,
    weights: Annotated[Path, typer.Option(help="Where the weights go (safetensors), as a training would write them.")],
) -> None:
    sort = next(name for name in SORTS if getattr(job, name) is not None)
    entry = getattr(job, sort)
    checkpoint = Path(entry.weights.path)
    if not checkpoint.exists():
        raise InputError(f"{sort}.weights.path: {checkpoint} does not exist")
    write = {"autoencoder": _autoencoder, "diffusion": _diffusion, "generator": _generator}
    try:
        write[sort](job, checkpoint, weights)
    except ValueError as error:
        raise InputError(f"settings: {error}") from None
    logger.info("%s imported from %s to %s", entry.weights.kind, checkpoint, weights)


def _entry(settings: Any) -> Any:
    """The entry as a training would have it."""
    return settings.model_copy(update={"weights": None})


def _autoencoder(job: ImportJob, checkpoint: Path, weights: Path) -> None:
    settings, resolution = _entry(job.autoencoder), job.resolution or 0
    model = make_autoencoder(settings, resolution, job.channels)
    import_first_stage(model, read_tensors(checkpoint), checkpoint)
    save_autoencoder(weights, model, settings, resolution, job.channels)


def _diffusion(job: ImportJob, checkpoint: Path, weights: Path) -> None:
    settings, code_size = _entry(job.diffusion), job.code_size
    assert code_size is not None
    unet, tensors = build_unet(settings.unet, code_size), read_tensors(checkpoint)
    import_ldm_unet(unet, settings.unet, tensors, checkpoint)
    save_diffusion(weights, unet, settings, code_size, Rescaling(scale=scale_factor(tensors)))


def _generator(job: ImportJob, checkpoint: Path, weights: Path) -> None:
    settings, side = _entry(job.generator), job.resolution or 0
    model = make_generator(settings, (job.channels, side, side))
    import_unet_folder(model.unet, checkpoint)
    save_generator(weights, model, settings, (job.channels, side, side))


if __name__ == "__main__":
    run_stage(import_weights)
