"""Reconstructions of an archive: encode, decode, with the constant noise of inference."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.base.progress import Progress
from pipeline.data.archive import ImageArchive, to_model, to_uint8
from pipeline.models.autoencoder import ImageAutoencoder
from pipeline.models.padding import pad


@torch.no_grad()
def reconstruct_archive(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> Iterator[Tensor]:
    """uint8 reconstructions (C, R, R), in order; batches are always full."""
    device = next(model.parameters()).device
    with model.frozen(), Progress("reconstruct", len(images), "images") as progress:
        for first in range(0, len(images), micro_batch):
            indices = range(first, min(first + micro_batch, len(images)))
            batch = to_model(images.tensor(indices)).to(device)
            codes = model.encode(pad(batch, micro_batch))
            yield from to_uint8(model.decode(codes))[: len(batch)].cpu()
            progress.advance(len(batch))
