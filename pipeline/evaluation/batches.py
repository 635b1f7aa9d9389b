"""Micro-batches of one fixed size for metric networks, so that no number depends on how a set was split."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.data.archive import ImageArchive, to_rgb


def metric_device(threads: int) -> torch.device:
    """The GPU where there is one; full 32-bit arithmetic, since a metric is compared between machines."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def rgb_batches(images: ImageArchive, count: int, size: int) -> Iterator[tuple[Tensor, int]]:
    """The first `count` images as uint8 (size, 3, R, R), with how many of each batch count.

    The last batch is filled up with copies of its last image.
    """
    for first in range(0, count, size):
        indices = list(range(first, min(first + size, count)))
        padded = indices + indices[-1:] * (size - len(indices))
        yield to_rgb(images.tensor(padded)), len(indices)
