"""Stage: import a checkpoint of another program in place of a training."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import logger
from bright_pipeline.data.fingerprint import check_as_planned
from bright_pipeline.stages.autoencoders import MODEL_KINDS, ImportJob


@stage
def import_weights(
    job: ImportJob,
    weights: Annotated[Path, typer.Option(help="Where the weights go (safetensors), as from a training.")],
) -> None:
    from bright_pipeline.foreign.files import read_tensors
    from bright_pipeline.models.checkpoints import make_autoencoder, make_generator, save_autoencoder, save_generator

    kind = next(name for name in MODEL_KINDS if getattr(job, name) is not None)
    entry = getattr(job, kind)
    checkpoint = Path(entry.weights.path)
    if not checkpoint.exists():
        raise InputError(f"{kind}.weights.path: {checkpoint} does not exist")
    settings = entry.model_copy(update={"weights": None})  # as from a training
    save: Callable[[], None]
    side = job.resolution or 0
    try:
        if kind == "autoencoder":
            from bright_pipeline.foreign.first_stages import import_first_stage

            model = make_autoencoder(settings, side, job.channels)
            import_first_stage(model, read_tensors(checkpoint), checkpoint)
            save = partial(save_autoencoder, weights, model, settings, side, job.channels)
        elif kind == "generator":
            from bright_pipeline.foreign.unets import import_unet_folder

            shape = (job.channels, side, side)
            model = make_generator(settings, shape)
            import_unet_folder(model.unet, checkpoint)
            save = partial(save_generator, weights, model, settings, shape)
        else:
            assert job.code_size is not None, "as ImportJob checks"
            from bright_pipeline.foreign.unets import import_ldm_unet, scale_factor
            from bright_pipeline.models.diffusion import build_unet, save_diffusion
            from bright_pipeline.models.rescaling import Rescaling

            unet, tensors = build_unet(settings.unet, job.code_size), read_tensors(checkpoint)
            import_ldm_unet(unet, settings.unet, tensors, checkpoint)
            rescaling = Rescaling(scale=(scale_factor(tensors),))
            save = partial(save_diffusion, weights, unet, settings, job.code_size, rescaling)
    except ValueError as error:
        raise InputError(f"settings: {error}") from None
    check_as_planned(job.sha256, entry.weights, f"{kind}.weights")
    save()
    logger.info("%s imported from %s to %s", entry.weights.kind, checkpoint, weights)
