"""Command: decode a file of `bright encode` to a folder of images."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.progress import Progress, log_to
from bright_pipeline.commands.encode import ConfigOption, ModelOption
from bright_pipeline.data.listing import printable
from bright_pipeline.engine.atomic import new_folder


def decode(
    codes: Annotated[Path, typer.Argument(help="The file of codes.")],
    images: Annotated[Path, typer.Argument(help="The folder to write, new or empty.")],
    model: ModelOption = None,
    config: ConfigOption = None,
) -> None:
    """Write the images of codes as PNGs, each by its number and the name of its original."""
    from bright_pipeline.generation.code_files import read_codes
    from bright_pipeline.generation.interactive import MICRO_BATCH, load_autoencoder

    log_to(None)
    (read, names), loaded = read_codes(codes), load_autoencoder(model, config)
    with new_folder(images) as folder, Progress("decode", len(read), "images") as progress:
        for start in range(0, len(read), MICRO_BATCH):
            for index, picture in enumerate(loaded.decode(read[start : start + MICRO_BATCH]), start):
                picture.save(folder / f"{index:05d}-{Path(printable(names[index])).stem}.png")
                progress.advance()
    print(f"{images}: {len(read)} images")
