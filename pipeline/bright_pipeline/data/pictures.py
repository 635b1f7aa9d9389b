"""Pictures for people, from model tensors."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from bright_pipeline.engine.atomic import atomic_path

SMALLEST_SIDE = 96  # smaller images are enlarged by an integer factor, to be visible


def contact_sheet(rows: list[Tensor]) -> Image.Image:
    """Rows of images, each (N, C, R, R) in [-1, 1], below each other with two pixels between them."""
    from torchvision.utils import make_grid  # a decoder needs no torchvision

    images = torch.cat([row.detach().float().cpu() for row in rows]).clamp(-1, 1)
    scale = -(-SMALLEST_SIDE // images.shape[-1])
    images = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    grid = make_grid((images + 1) / 2, nrow=len(rows[0]), padding=2)
    return Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())


def save_picture(path: Path, picture: Image.Image) -> None:
    """Write a PNG, atomically."""
    with atomic_path(path) as temporary:
        picture.save(temporary)
