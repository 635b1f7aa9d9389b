"""Whole archives through an autoencoder, in batches of one size: codes (section 3.4), reconstructions."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.base.progress import Progress
from pipeline.data.archive import ImageArchive, to_model, to_uint8
from pipeline.models.autoencoder import ImageAutoencoder, pad
from pipeline.models.code_bits import CodeBits


@torch.no_grad()
def encode_archive(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> Tensor:
    """Codes (count, C_z, H_z, W_z) of all images, in order, on the CPU; key codes are in [0, 1]."""
    batches = _full_batches("encode", model, images, micro_batch)
    return torch.cat([model.encode(batch)[:count].float().cpu() for batch, count in batches])


@torch.no_grad()
def reconstruct_archive(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> Iterator[Tensor]:
    """uint8 reconstructions (C, R, R), in order, with the constant noise of inference."""
    with model.frozen():
        for batch, count in _full_batches("reconstruct", model, images, micro_batch):
            yield from to_uint8(model.decode(model.encode(batch)))[:count].cpu()


@torch.no_grad()
def archive_code_bits(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> CodeBits:
    """How many bits of an image its code carries; families that have to look at images look at all of these."""
    return model.code_bits(_full_batches("count bits", model, images, micro_batch))


def _full_batches(
    what: str, model: ImageAutoencoder, images: ImageArchive, micro_batch: int
) -> Iterator[tuple[Tensor, int]]:
    """Batches (micro_batch, C, R, R) in [-1, 1] on the model's device, and how many of their images count."""
    device = next(model.parameters()).device
    with Progress(what, len(images), "images") as progress:
        for first in range(0, len(images), micro_batch):
            batch = to_model(images.tensor(range(first, min(first + micro_batch, len(images))))).to(device)
            yield pad(batch, micro_batch), len(batch)
            progress.advance(len(batch))
