"""Pictures for people, from model tensors."""

from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import pad

from bright_pipeline.engine.atomic import atomic_path

SMALLEST_SIDE = 96  # smaller images are enlarged by an integer factor, to be visible
GAP = 2  # pixels between images


def contact_sheet(rows: list[Tensor]) -> Image.Image:
    """Rows of images, each (N, C, R, R) in [-1, 1], below each other with gaps; the last row may be shorter."""
    images = (torch.cat([row.detach().float().cpu() for row in rows]).clamp(-1, 1) + 1) / 2
    scale = -(-SMALLEST_SIDE // images.shape[-1])
    images = images.repeat_interleave(scale, 2).repeat_interleave(scale, 3).expand(-1, 3, -1, -1)
    lines = [torch.cat(list(pad(line, (GAP, 0, GAP, 0))), 2) for line in images.split(len(rows[0]))]
    width = lines[0].shape[2]
    grid = pad(torch.cat([pad(line, (0, width - line.shape[2])) for line in lines], 1), (0, GAP, 0, GAP))
    return Image.fromarray((grid * 255).round().byte().permute(1, 2, 0).numpy())


def save_picture(path: Path, picture: Image.Image) -> None:
    with atomic_path(path) as temporary:
        picture.save(temporary)
