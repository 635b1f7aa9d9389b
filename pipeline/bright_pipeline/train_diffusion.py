"""Stage: train a diffusion model on codes (section 4). A killed training resumes at its last saved state."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import needed, stage
from bright_pipeline.data.fingerprint import check_as_planned
from bright_pipeline.settings.weights import OwnWeights
from bright_pipeline.stages.generation import DiffusionJob


@stage
def train_diffusion(
    job: DiffusionJob,
    codes: Annotated[Path, typer.Option(help="Key codes of the training split (safetensors).")],
    autoencoder: Annotated[Path, typer.Option(help="The autoencoder of these codes, for previews.")],
    weights: Annotated[Path, typer.Option(help="The trained model (safetensors), written at the end.")],
    history: Annotated[Path, typer.Option(help="The history of the training (csv), written at the end.")],
    preview: Annotated[Path, typer.Option(help="The last preview (png), written at the end.")],
    work: Annotated[Path, typer.Option(help="The folder of saved states, previews and TensorBoard logs.")],
    initial: Annotated[Path | None, typer.Option(help="Trained weights to start from (`initial_weights`).")] = None,
    validation_codes: Annotated[Path | None, typer.Option(help="Key codes of the validation split (`splits`).")] = None,
) -> None:
    import torch

    from bright_pipeline.models.checkpoints import load_autoencoder, load_model, read_codes
    from bright_pipeline.models.diffusion import DiffusionFacts, save_diffusion
    from bright_pipeline.training.batches import TrainingCodes
    from bright_pipeline.training.diffusion import DiffusionTask
    from bright_pipeline.training.loop import Loop, make_accelerator

    accelerator = make_accelerator(job.diffusion.execution, work)
    all_codes = torch.cat([read_codes(path) for path in (codes, validation_codes) if path is not None])
    data = TrainingCodes(all_codes, load_autoencoder(autoencoder, accelerator.device))
    task = DiffusionTask(job.diffusion, data, job.seed, accelerator)
    if job.diffusion.initial_weights is not None:
        initial = needed(initial, "--initial", "the training starts from these weights (initial_weights)")
        task.load_initial_weights(load_model(initial, "diffusion", DiffusionFacts)[1], initial)
        check_as_planned(job.initial_sha256, OwnWeights(path=str(initial)), f"initial_weights {initial}")

    def save(path: Path) -> None:
        save_diffusion(path, task.model, job.diffusion, task.code_size, task.rescaling)

    Loop(task, work, save_model=save).train(weights, history, preview)
