"""Stage: train one autoencoder (section 3.3). A killed training resumes at its last saved state."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import needed, stage
from bright_pipeline.data.fingerprint import check_as_planned
from bright_pipeline.settings.weights import OwnWeights
from bright_pipeline.stages.autoencoders import AutoencoderJob


@stage
def train_autoencoder(
    job: AutoencoderJob,
    images: Annotated[Path, typer.Option(help="The training split, a zip of PNGs.")],
    weights: Annotated[Path, typer.Option(help="The trained autoencoder (safetensors), written at the end.")],
    history: Annotated[Path, typer.Option(help="The history of the training (csv), written at the end.")],
    preview: Annotated[Path, typer.Option(help="The last preview (png), written at the end.")],
    work: Annotated[Path, typer.Option(help="The folder of saved states, previews and TensorBoard logs.")],
    perceptual: Annotated[Path | None, typer.Option(help="Weights of the perceptual loss's network.")] = None,
    validation: Annotated[Path | None, typer.Option(help="The validation split, for execution.validate_every.")] = None,
    lpips_alex: Annotated[Path | None, typer.Option(help="AlexNet's weights, for execution.validate_every.")] = None,
    initial: Annotated[Path | None, typer.Option(help="Trained weights to start from (`initial_weights`).")] = None,
) -> None:
    from bright_pipeline.evaluation.validation import Validation
    from bright_pipeline.models.checkpoints import AutoencoderFacts, load_model, save_autoencoder
    from bright_pipeline.training.autoencoder import AutoencoderTask
    from bright_pipeline.training.batches import TrainingImages
    from bright_pipeline.training.loop import Loop, make_accelerator

    accelerator = make_accelerator(job.autoencoder.execution, work)
    data = TrainingImages(images)
    task = AutoencoderTask(job.autoencoder, data, perceptual, job.seed, accelerator)
    if job.autoencoder.initial_weights is not None:
        initial = needed(initial, "--initial", "the training starts from these weights (initial_weights)")
        task.load_initial_weights(load_model(initial, "autoencoder", AutoencoderFacts)[1], initial)
        check_as_planned(job.initial_sha256, OwnWeights(path=str(initial)), f"initial_weights {initial}")

    def save(path: Path) -> None:
        save_autoencoder(path, task.model, job.autoencoder, data.resolution, data.channels)

    execution, measured = job.autoencoder.execution, None
    if execution.validate_every and accelerator.is_main_process:
        reason = "execution.validate_every needs it"
        split, network = needed(validation, "--validation", reason), needed(lpips_alex, "--lpips-alex", reason)
        measured = Validation(split, network, accelerator.device)
    Loop(task, work, measured, save).train(weights, history, preview)
