"""Sample sets as archives of PNGs: image i depends on the seed and i alone (promise 3)."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.base.progress import Progress
from pipeline.data.archive import ArchiveWriter, ImageArchive, image_name, to_uint8
from pipeline.models.autoencoder import ImageAutoencoder, of_precision
from pipeline.models.checkpoints import pick_device

Make = Callable[[list[int]], Tensor]
"""Makes the images (N, C, R, R) in [-1, 1] with these indices, or their codes (N, C_z, H_z, W_z)."""


def decoded(make_codes: Make, decoder: ImageAutoencoder) -> Make:
    """The images of the codes that `make_codes` makes, kept inside the bounds that codes have: [0, 1] for key codes."""
    device, bounds = next(decoder.parameters()).device, decoder.code_range

    def make(indices: list[int]) -> Tensor:
        codes = make_codes(indices).to(device)
        return decoder.decode(codes if bounds is None else codes.clamp(*bounds)).float()

    return make


def write_images(path: Path, channels: int, images: Iterable[Tensor]) -> None:
    """An archive of uint8 images (C, R, R), named by their places."""
    with ArchiveWriter(path, channels) as archive:
        for index, image in enumerate(images):
            archive.add(image_name(index), image.permute(1, 2, 0).numpy())


@torch.no_grad()
def generate(
    make: Make, channels: int, path: Path, first: int, last: int, micro_batch: int, precision: str = "fp32"
) -> None:
    """Write the images with indices [first, last); batches are always full, surplus images are dropped."""
    with ArchiveWriter(path, channels) as archive, Progress("generate", last - first, "images") as progress:
        for start in range(first, last, micro_batch):
            wanted = min(micro_batch, last - start)
            with of_precision(precision, pick_device()):
                made = make(list(range(start, start + micro_batch)))
            for offset, image in enumerate(to_uint8(made)[:wanted].cpu()):
                archive.add(image_name(start + offset), image.permute(1, 2, 0).numpy())
            progress.advance(wanted)


def copy_images(source: ImageArchive, order: list[int], path: Path, first: int, last: int) -> None:
    """Write real images as a sample set: number i is the source's image order[i]."""
    with ArchiveWriter(path, source.channels) as archive, Progress("copy", last - first, "images") as progress:
        for index in range(first, last):
            archive.add(image_name(index), source.read(order[index]))
            progress.advance()
