"""Stage: train one autoencoder (section 3.3). Killed and started again, it goes on where it was."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import needed, run_stage, stage
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
    validation: Annotated[Path | None, typer.Option(help="The validation split, for execution.validate_every.")] = None,
    lpips_alex: Annotated[Path | None, typer.Option(help="AlexNet's weights, for the LPIPS of that.")] = None,
    initial: Annotated[Path | None, typer.Option(help="Trained weights to begin with (`initial_weights`).")] = None,
) -> None:
    from pipeline.evaluation.validation import Validation
    from pipeline.models.checkpoints import AutoencoderFacts, load_model, save_autoencoder
    from pipeline.training.autoencoder import AutoencoderTask
    from pipeline.training.batches import TrainingImages
    from pipeline.training.loop import Loop, make_accelerator, train_and_save

    accelerator = make_accelerator(job.autoencoder.execution, work)
    data = TrainingImages(images)
    task = AutoencoderTask(job.autoencoder, data, perceptual, job.seed, accelerator)
    if job.autoencoder.initial_weights is not None:
        initial = needed(initial, "--initial", "initial_weights names what the training begins with")
        task.load_initial_weights(load_model(initial, "autoencoder", AutoencoderFacts)[1], initial)

    def save(path: Path) -> None:
        save_autoencoder(path, task.model, job.autoencoder, data.resolution, data.channels)

    execution, measured = job.autoencoder.execution, None
    if execution.validate_every and accelerator.is_main_process:
        reason = "execution.validate_every measures with it"
        split, network = needed(validation, "--validation", reason), needed(lpips_alex, "--lpips-alex", reason)
        measured = Validation(split, network, accelerator.device)
    loop = Loop(task, execution, accelerator, work, measured, save)
    train_and_save(loop, weights, history, preview)


if __name__ == "__main__":
    run_stage(train_autoencoder)
