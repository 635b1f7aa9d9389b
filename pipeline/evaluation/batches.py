"""Micro-batches of one fixed size for metric networks, so that no number depends on how a set was split."""

from collections.abc import Iterator

import torch
from torch import Tensor

from pipeline.data.archive import Images, to_rgb


def metric_device(threads: int) -> torch.device:
    """The GPU where there is one; full 32-bit arithmetic, since a metric is compared between machines."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def rgb_batches(images: Images, first: int, last: int, size: int, starts_at: int = 0) -> Iterator[tuple[Tensor, slice]]:
    """The images [first, last) as uint8 (size, 3, R, R), with the part of each batch that counts.

    Batches start at multiples of `size`, so that every image has the same place in its batch whatever the range; places
    outside the range are filled with copies of its nearest image. starts_at: the index of the first one of `images`.
    """
    if first >= last:
        return
    for start in range(first - first % size, last, size):
        indices = [min(max(index, first), last - 1) - starts_at for index in range(start, start + size)]
        yield to_rgb(images.tensor(indices)), slice(max(first - start, 0), min(last - start, size))
