"""Stage: train a generator of any family. A killed training resumes at its last saved state."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bright_pipeline.engine.command import needed, stage
from bright_pipeline.families import generator_family, load
from bright_pipeline.stages.generation import GeneratorJob


@stage
def train_generator(
    job: GeneratorJob,
    weights: Annotated[Path, typer.Option(help="The trained generator (safetensors), written at the end.")],
    history: Annotated[Path, typer.Option(help="The history of the training (csv), written at the end.")],
    preview: Annotated[Path, typer.Option(help="The last preview (png), written at the end.")],
    work: Annotated[Path, typer.Option(help="The folder of saved states, previews and TensorBoard logs.")],
    images: Annotated[Path | None, typer.Option(help="The training split, for a family that reads images.")] = None,
    codes: Annotated[Path | None, typer.Option(help="Training key codes, for a family that reads codes.")] = None,
    autoencoder: Annotated[Path | None, typer.Option(help="The autoencoder of the codes.")] = None,
) -> None:
    from bright_pipeline.models.checkpoints import load_autoencoder, read_codes, save_generator
    from bright_pipeline.training.batches import TrainingCodes, TrainingImages
    from bright_pipeline.training.loop import Loop, make_accelerator

    generator, seed = job.generator, job.seed
    family = generator_family(generator.family)
    accelerator = make_accelerator(generator.execution, work)
    data: Any
    reason = f"{family.method} needs it for training"
    if family.reads == "images":
        data = TrainingImages(needed(images, "--images", reason))
    else:
        decoder = load_autoencoder(needed(autoencoder, "--autoencoder", reason), accelerator.device)
        data = TrainingCodes(read_codes(needed(codes, "--codes", reason)), decoder)
    task = load(family.task)(generator, data, seed, accelerator)

    def save(path: Path) -> None:
        save_generator(path, task.model, generator, data.shape)

    Loop(task, work, save_model=save).train(weights, history, preview)
