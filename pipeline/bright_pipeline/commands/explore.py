"""Command: write the key explorer of a trained model, one HTML file: drag keys of an image, and its picture changes."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.errors import InputError
from bright_pipeline.commands.encode import ConfigOption, ModelOption
from bright_pipeline.data.listing import folder_images
from bright_pipeline.engine.atomic import write_text


def explore(
    page: Annotated[Path, typer.Argument(help="The file to write.")] = Path("explorer.html"),
    images: Annotated[Path | None, typer.Option(help="A folder of your own images, in place of the model's.")] = None,
    count: Annotated[int, typer.Option(help="Images, and samples of the diffusion model.", min=1)] = 10,
    model: ModelOption = None,
    config: ConfigOption = None,
) -> None:
    """Write a page in which the model's decoder runs. It opens in a browser, without a network.

    It starts from images of the folder, else from those whose codes come with an exported model, else from samples.
    """
    import torch

    from bright_pipeline.evaluation.codes import code_statistics
    from bright_pipeline.generation.explorer import explorer_facts, without_explorer
    from bright_pipeline.generation.interactive import load_autoencoder
    from bright_pipeline.page.template import template

    loaded = load_autoencoder(model, config)
    if reason := without_explorer(loaded.autoencoder):
        raise InputError(f"the model cannot be explored: {reason}")
    samples = [loaded.sample_codes(count)] if loaded.diffusion else []
    if images is not None:
        if not (names := [file.name for file in folder_images(images, "images")[0][:count]]):
            raise InputError(f"{images}: no image")
        codes = loaded.encode([images / name for name in names], prepare=True)
    elif loaded.examples is not None:
        codes = loaded.examples[:count]
    elif samples:
        (codes,) = samples
    else:
        raise InputError("the model has no diffusion model to draw images from: give --images FOLDER")
    channels = code_statistics(torch.cat([codes, *samples]))["channels"]
    facts = explorer_facts(loaded.autoencoder, channels, codes, samples)
    facts["model"] = model or ("the demo" if config is None else "main")
    write_text(page, template("explore.html.j2").render(explorer=facts))
    print(f"{page}: open it in a browser")
