"""Stage: train one autoencoder (section 3.3). Killed and started again, it goes on where it was."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import run_stage, stage
from pipeline.stages.autoencoders import AutoencoderJob


@stage
def train_autoencoder(
    job: AutoencoderJob,
    images: Annotated[Path, typer.Option(help="The training split, a zip of PNGs.")],
    weights: Annotated[Path, typer.Option(help="Where the trained autoencoder goes (safetensors).")],
    history: Annotated[Path, typer.Option(help="Where the training's history goes (csv).")],
    preview: Annotated[Path, typer.Option(help="Where the last preview picture goes (png).")],
    work: Annotated[Path, typer.Option(help="Folder of saved states, previews and TensorBoard logs.")],
    perceptual: Annotated[Path | None, typer.Option(help="Weights of the perceptual loss's network.")] = None,
) -> None:
    from pipeline.data.pictures import save_picture
    from pipeline.models.checkpoints import save_autoencoder
    from pipeline.training.autoencoder import AutoencoderTask
    from pipeline.training.images import TrainingImages
    from pipeline.training.loop import Loop, make_accelerator

    accelerator = make_accelerator(job.autoencoder.execution, work)
    data = TrainingImages(images)
    task = AutoencoderTask(job.autoencoder, data, perceptual, job.seed, accelerator)
    record = Loop(task, job.autoencoder.execution, accelerator, work).run()
    if accelerator.is_main_process:
        save_picture(preview, task.preview())
        record.save(history)
        save_autoencoder(weights, task.final_model(), job.autoencoder, data.resolution, data.channels)


if __name__ == "__main__":
    run_stage(train_autoencoder)
