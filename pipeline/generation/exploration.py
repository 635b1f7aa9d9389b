"""What key codes and hash tables hold, as pictures: beyond the paper's figures.

- interpolation: between two images, in key-code space: decode((1 - t) z_a + t z_b).
- resolutions: an image from the first k of the N_r resolutions; the others' features are set to zero.
- groups: an image with one group's unit keys replaced by their mean over the images: what is lost is what
  this group of tables tells.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from pipeline.data.archive import to_uint8
from pipeline.models.bright import Bright


@dataclass(frozen=True)
class Sheet:
    """Rows of images: uint8 (rows, columns, C, R, R), and what each column is."""

    images: Tensor
    columns: list[str]


@torch.no_grad()
def interpolation(model: Bright, first: Tensor, second: Tensor, steps: int) -> Sheet:
    """From the codes (N, C_z, H_z, W_z) of first images to those of second ones, in `steps` equal steps."""
    shares = [step / (steps - 1) for step in range(steps)]
    images = [model.decode(torch.lerp(first, second, share)) for share in shares]
    return _sheet(images, [f"t = {share:.2f}" for share in shares])


@torch.no_grad()
def resolutions(model: Bright, codes: Tensor) -> Sheet:
    """Images of codes (N, C_z, H_z, W_z) from the first 1, 2, ..., N_r resolutions, coarse to fine."""
    retrieved = model.tables.retrieve(model.tiled(codes))
    per_resolution = retrieved.shape[2] // model.settings.tables.resolutions
    images, columns = [], []
    for used in range(1, model.settings.tables.resolutions + 1):
        kept = retrieved.clone()
        kept[:, :, used * per_resolution :] = 0
        block = model.group_mlps(kept)
        images.append(model.synthesis(block, model.style_mlp(block), None))
        columns.append(f"first {used}")
    return _sheet(images, columns)


@torch.no_grad()
def groups(model: Bright, codes: Tensor) -> Sheet:
    """Images of codes (N, C_z, H_z, W_z): whole, then without what each of the N_h groups tells of them."""
    key_length = model.settings.tables.key_length
    images, columns = [model.decode(codes)], ["all groups"]
    for group in range(model.tables.groups):
        changed, keys = codes.clone(), slice(group * key_length, (group + 1) * key_length)
        changed[:, keys] = codes[:, keys].mean(dim=(0, 2, 3), keepdim=True)
        images.append(model.decode(changed))
        columns.append(f"without {group + 1}")
    return _sheet(images, columns)


def _sheet(images: list[Tensor], columns: list[str]) -> Sheet:
    return Sheet(torch.stack([to_uint8(image).cpu() for image in images], dim=1), columns)
