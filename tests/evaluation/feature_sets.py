"""Sets of features, and small pictures."""

from pathlib import Path

import numpy as np
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive


def gaussian(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(count, width)) + shift).astype(np.float32)


def pictures(count: int, seed: int, channels: int = 3, size: int = 32) -> np.ndarray:
    """Smooth random pictures (N, size, size, channels), uint8."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 4, 4, channels), dtype=np.uint8)
    return coarse.repeat(size // 4, 1).repeat(size // 4, 2)


def archive(path: Path, images: np.ndarray, first: int = 0) -> ImageArchive:
    """An archive of these images, numbered from `first`."""
    with ArchiveWriter(path, images.shape[-1]) as writer:
        for index, image in enumerate(images):
            writer.add(f"00000/img{first + index:08d}.png", image)
    return ImageArchive(path)
