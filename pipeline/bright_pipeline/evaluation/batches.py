"""Micro-batches of one fixed size for metric networks: no number depends on how an image set was split.

Threads decode and resize the next batches while a network computes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from bright_pipeline.base.process import cores
from bright_pipeline.data.archive import Images, pixel_digest, to_rgb
from bright_pipeline.models.processor import use_cpu

READERS = min(8, cores())  # Pillow releases Python's lock while it decodes and resizes
AHEAD = 2  # batches read ahead


class Batch(NamedTuple):
    images: Tensor  # (size, 3, S, S), uint8 or the resizer's type
    used: slice  # the images of the range; the others are copies that fill the batch
    digests: list[bytes]  # sha256 of the pixels of each used image


def metric_device(threads: int) -> torch.device:
    """The GPU if there is one, with TF32 off: metrics are compared between machines."""
    use_cpu(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def rgb_batches(
    images: Images,
    first: int,
    last: int,
    size: int,
    starts_at: int = 0,  # the index of the first of `images`
    resizer: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[Batch]:
    """The images [first, last), uint8 (R, R, 3) or resized by `resizer`, in order.

    Batches start at multiples of `size`, so that an image has the same place in its batch in every range; places
    outside the range are filled with copies of the nearest image.
    """

    def read(index: int) -> tuple[np.ndarray, bytes]:
        pixels = images.read(index - starts_at)
        picture = pixels if resizer is None else resizer(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        return picture, pixel_digest(pixels)

    def batch(start: int) -> Batch:
        begin, end = max(start, first), min(start + size, last)
        pictures, digests = zip(*readers.map(read, range(begin, end)), strict=True)
        filled = np.stack([pictures[min(max(index, begin), end - 1) - begin] for index in range(start, start + size)])
        tensor = torch.from_numpy(filled).permute(0, 3, 1, 2)
        if resizer is None:  # networks that resize have their exact bits from channels-last images
            tensor = to_rgb(tensor.contiguous())
        return Batch(tensor, slice(begin - start, end - start), list(digests))

    waiting: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(1) as maker:
        for start in range(first - first % size, last, size) if first < last else ():
            waiting.append(maker.submit(batch, start))
            if len(waiting) > AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
