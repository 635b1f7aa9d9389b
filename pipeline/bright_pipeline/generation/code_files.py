"""Files of codes that people keep: an npz with the codes, the names of their images, and the number of levels.

A key of BRIGHT is rounded to half the deviation s of its training noise, to one of 2 / s levels: the demo's PSNR drops
by 0.05 dB. That takes 8 bits for a finest resolution of 32, and 16 for larger ones. Codes without noise of one width,
or with noise too small for 16 bits, keep their 32 bits, and have 0 levels. The file is compressed, since keys rarely
fill [0, 1].
"""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bright_pipeline.base.errors import readable
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.models.autoencoder import ImageAutoencoder
from bright_pipeline.models.key_noise import noise_of


def write_codes(path: Path, model: ImageAutoencoder, codes: Tensor, names: Sequence[str]) -> None:
    """Write codes (N, C_z, H_z, W_z) of this model, with the names of their images."""
    noise = noise_of(model.settings).fixed(model.settings)
    levels = 0 if noise is None else ceil(2 / noise[0]) - 1
    levels = levels if levels < 2**16 else 0
    stored = codes.numpy()
    if levels:
        stored = (stored * levels).round().astype(np.uint8 if levels < 2**8 else np.uint16)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, codes=stored, levels=levels, names=np.array(names))


def read_codes(path: Path) -> tuple[Tensor, list[str]]:
    """The codes (N, C_z, H_z, W_z) and the names in a file of `write_codes`."""
    with readable(f"{path}: not a file of `bright encode`"):
        with np.load(path) as arrays:  # nothing pickled is read
            codes, levels, names = arrays["codes"], int(arrays["levels"]), arrays["names"].astype(str).tolist()
        if codes.ndim != 4 or len(codes) != len(names):
            raise ValueError(f"codes of shape {codes.shape} and {len(names)} names")
        return torch.from_numpy(codes.astype(np.float32) / max(1, levels)), names
