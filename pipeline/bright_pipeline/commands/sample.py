"""Command: generate images with a trained model, into a folder."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.progress import log_to
from bright_pipeline.commands.encode import ConfigOption, ModelOption
from bright_pipeline.engine.atomic import new_folder


def sample(
    count: Annotated[int, typer.Argument(help="The number of images.", min=1)],
    images: Annotated[Path, typer.Argument(help="The folder to write, new or empty.")],
    seed: Annotated[int, typer.Option(help="Image i depends on the seed and i alone.")] = 0,
    steps: Annotated[int, typer.Option(help="Steps of DDIM.", min=1)] = 50,
    model: ModelOption = None,
    config: ConfigOption = None,
) -> None:
    """Write new images of the diffusion model on a model's codes as PNGs."""
    from bright_pipeline.generation.interactive import load_autoencoder

    log_to(None)
    loaded = load_autoencoder(model, config)
    with new_folder(images) as folder:
        for index, picture in enumerate(loaded.sample(count, seed, steps)):
            picture.save(folder / f"{index:05d}.png")
    print(f"{images}: {count} images")
