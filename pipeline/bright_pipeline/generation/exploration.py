"""The content of key codes and hash tables as pictures, beyond the paper's figures: rows are images.

- interpolation: between two images in key-code space, decode((1 - t) z_a + t z_b).
- resolutions: an image from the first k of the N_r resolutions; the features of the others are set to zero.
- groups: an image with one group's unit keys replaced by their mean over the images: the loss is this group's content.
"""

import torch
from torch import Tensor

from bright_pipeline.models.bright import Bright
from bright_pipeline.models.key_noise import tile

Columns = list[tuple[str, Tensor]]  # captions, and the images (N, C, R, R) below them in about [-1, 1]


@torch.no_grad()
def interpolation(model: Bright, first: Tensor, second: Tensor, steps: int) -> Columns:
    """From the codes (N, C_z, H_z, W_z) of first images to those of second images, in `steps` equal steps."""
    shares = [step / (steps - 1) for step in range(steps)]
    return [(f"t = {share:.2f}", model.decode(torch.lerp(first, second, share))) for share in shares]


@torch.no_grad()
def resolutions(model: Bright, codes: Tensor) -> Columns:
    """Images of codes (N, C_z, H_z, W_z) from the first 1, 2, ..., N_r resolutions, coarse to fine."""
    retrieved = model.tables.retrieve(tile(codes, model.settings.feature_size))
    count = model.settings.tables.resolutions
    per_resolution = retrieved.shape[2] // count
    columns = []
    for used in range(1, count + 1):
        kept = retrieved.clone()
        kept[:, :, used * per_resolution :] = 0
        columns.append((f"first {used}", model.synthesis(*model.features(kept), None)))
    return columns


@torch.no_grad()
def groups(model: Bright, codes: Tensor) -> Columns:
    """Images of codes (N, C_z, H_z, W_z): whole, then without the content of each of the N_h groups."""
    key_length = model.settings.tables.key_length
    columns = [("all groups", model.decode(codes))]
    for group in range(model.tables.groups):
        changed, keys = codes.clone(), slice(group * key_length, (group + 1) * key_length)
        changed[:, keys] = codes[:, keys].mean(dim=(0, 2, 3), keepdim=True)
        columns.append((f"without {group + 1}", model.decode(changed)))
    return columns
