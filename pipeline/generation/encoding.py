"""Codes of a whole split (section 3.4)."""

import torch
from torch import Tensor

from pipeline.base.progress import Progress
from pipeline.data.archive import ImageArchive, to_model
from pipeline.models.autoencoder import ImageAutoencoder
from pipeline.models.padding import pad


@torch.no_grad()
def encode_archive(model: ImageAutoencoder, images: ImageArchive, micro_batch: int) -> Tensor:
    """Codes (count, C_z, H_z, W_z) of all images, in order, on the CPU; key codes are in [0, 1]."""
    device = next(model.parameters()).device
    codes = []
    with Progress("encode", len(images), "images") as progress:
        for first in range(0, len(images), micro_batch):
            indices = range(first, min(first + micro_batch, len(images)))
            batch = to_model(images.tensor(indices)).to(device)
            codes.append(model.encode(pad(batch, micro_batch))[: len(batch)].float().cpu())
            progress.advance(len(batch))
    return torch.cat(codes)
