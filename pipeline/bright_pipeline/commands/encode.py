"""Command: encode a folder of images with a trained model, to one file of codes."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.amounts import readable_bytes
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import Progress, log_to
from bright_pipeline.data.listing import folder_images

MODEL = (
    "An autoencoder of the config, a folder of `bright export`, a weights file, or the address of a release. Default:"
    " `main` of the config; without both options, the demo's model, which is in the package."
)
ModelOption = Annotated[str | None, typer.Option(help=MODEL)]
ConfigOption = Annotated[Path | None, typer.Option(help="The run's config file; config/demo.yaml beside --model.")]


def encode(
    images: Annotated[Path, typer.Argument(help="The folder of images, with its subfolders.")],
    codes: Annotated[Path, typer.Argument(help="The file to write.")] = Path("codes.npz"),
    model: ModelOption = None,
    config: ConfigOption = None,
) -> None:
    """Crop and resize images as those of the training, and write their codes with the bits that they need.

    Unreadable images are skipped, with a line each. The last line compares the sizes on disk.
    """
    import torch

    from bright_pipeline.evaluation.codes import storage
    from bright_pipeline.generation.code_files import write_codes
    from bright_pipeline.generation.interactive import MICRO_BATCH, load_autoencoder

    log_to(None)
    files, _ = folder_images(images, "images")
    loaded, parts, names = load_autoencoder(model, config), [], []
    with Progress("encode", len(files), "images") as progress:
        for start in range(0, len(files), MICRO_BATCH):
            rows = []
            for name in (file.name for file in files[start : start + MICRO_BATCH]):
                try:
                    rows.append(loaded.pixels(images / name, prepare=True))
                    names.append(name)
                except InputError as error:
                    print(f"skipped {error}", file=sys.stderr)
            parts += [loaded.encode(torch.stack(rows))] if rows else []
            progress.advance(min(MICRO_BATCH, len(files) - start))
    if not parts:
        raise InputError(f"{images}: no readable image")
    write_codes(codes, loaded.autoencoder, torch.cat(parts), names)
    size, decoder = codes.stat().st_size, storage(loaded.autoencoder, parts[0])["decoding"]
    taken = sum((images / name).stat().st_size for name in names)
    print(
        f"{codes}: {readable_bytes(size)} for {len(names)} images, {readable_bytes(size / len(names))} each; decoding"
        f" also takes {readable_bytes(decoder)} of weights, whatever the number; the files have {readable_bytes(taken)}"
    )
