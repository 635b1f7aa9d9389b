"""Sample sets as archives of PNGs: image i depends on the seed and i alone (promise 3)."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.data.archive import ArchiveWriter, ImageArchive, image_name, to_uint8
from pipeline.generation.codes import pad
from pipeline.models.bright import Bright
from pipeline.progress import Progress

MakeCodes = Callable[[list[int]], Tensor]


@torch.no_grad()
def generate(decoder: Bright, make_codes: MakeCodes, path: Path, first: int, last: int, micro_batch: int) -> None:
    """Write the images with indices [first, last); batches are always full, surplus images are dropped."""
    device = next(decoder.parameters()).device
    with (
        decoder.tables.frozen(),
        ArchiveWriter(path, decoder.channels) as archive,
        Progress("generate", last - first, "images") as progress,
    ):
        for start in range(first, last, micro_batch):
            wanted = min(micro_batch, last - start)
            codes = make_codes(list(range(start, start + micro_batch)))
            images = to_uint8(decoder.decode(pad(codes.to(device), micro_batch)))[:wanted].cpu()
            for offset, image in enumerate(images):
                archive.add(image_name(start + offset), image.permute(1, 2, 0).numpy())
            progress.advance(wanted)


def copy_images(source: ImageArchive, order: list[int], path: Path, first: int, last: int) -> None:
    """Write real images as a sample set: number i is the source's image order[i]."""
    with (
        ArchiveWriter(path, source.channels) as archive,
        Progress("copy", last - first, "images") as progress,
    ):
        for index in range(first, last):
            archive.add(image_name(index), source.read(order[index]))
            progress.advance()
