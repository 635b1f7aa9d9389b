"""Stage: train a diffusion model on codes (section 4). Killed and started again, it goes on where it was."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.command import needed, run_stage, stage
from pipeline.stages.generation import DiffusionJob


@stage
def train_diffusion(
    job: DiffusionJob,
    codes: Annotated[Path, typer.Option(help="Key codes of the training split (safetensors).")],
    autoencoder: Annotated[Path, typer.Option(help="The autoencoder that made them, for previews.")],
    weights: Annotated[Path, typer.Option(help="Where the trained model goes (safetensors).")],
    history: Annotated[Path, typer.Option(help="Where the training's history goes (csv).")],
    preview: Annotated[Path, typer.Option(help="Where the last preview picture goes (png).")],
    work: Annotated[Path, typer.Option(help="Folder of saved states, previews and TensorBoard logs.")],
    initial: Annotated[Path | None, typer.Option(help="Trained weights to begin with (`initial_weights`).")] = None,
) -> None:
    from pipeline.models.checkpoints import load_model
    from pipeline.models.diffusion import DiffusionFacts, save_diffusion
    from pipeline.training.batches import TrainingCodes
    from pipeline.training.diffusion import DiffusionTask
    from pipeline.training.loop import Loop, make_accelerator, train_and_save

    accelerator = make_accelerator(job.diffusion.execution, work)
    data = TrainingCodes.read(codes, autoencoder, accelerator.device)
    task = DiffusionTask(job.diffusion, data, job.seed, accelerator)
    if job.diffusion.initial_weights is not None:
        initial = needed(initial, "--initial", "initial_weights names what the training begins with")
        task.load_initial_weights(load_model(initial, "diffusion", DiffusionFacts)[1], initial)

    def save(path: Path) -> None:
        save_diffusion(path, task.model, job.diffusion, task.code_size, task.rescaling)

    loop = Loop(task, job.diffusion.execution, accelerator, work, save_model=save)
    train_and_save(loop, weights, history, preview)


if __name__ == "__main__":
    run_stage(train_diffusion)
