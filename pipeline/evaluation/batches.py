"""Micro-batches of one fixed size for metric networks, so that no number depends on how a set was split.

Threads decode and resize the next ones while a network sees one.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from pipeline.base.process import cores
from pipeline.data.archive import Images, pixel_digest, to_rgb

READERS = min(8, cores())  # Pillow leaves Python's lock while it decodes and resizes
AHEAD = 2  # batches that are ready or in the making while the network sees one
Item = TypeVar("Item")
Result = TypeVar("Result")


class Batch(NamedTuple):
    """images: (size, 3, S, S); used: the part that counts; digests: the sha256 of the pixels of each of that part."""

    images: Tensor
    used: slice
    digests: list[bytes]


def metric_device(threads: int) -> torch.device:
    """The GPU where there is one; full 32-bit arithmetic, since a metric is compared between machines."""
    torch.set_num_threads(threads)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def rgb_batches(
    images: Images,
    first: int,
    last: int,
    size: int,
    starts_at: int = 0,
    resizer: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Iterator[Iterator[Batch]]:
    """The images [first, last), uint8 (R, R, 3) or what `resizer` makes of one, in order, while the context is open.

    Batches start at multiples of `size`, so that every image has the same place in its batch whatever the range; places
    outside the range are filled with copies of its nearest image. starts_at: the index of the first one of `images`.
    """

    def read(index: int) -> tuple[np.ndarray, bytes]:
        pixels = images.read(index - starts_at)
        picture = pixels if resizer is None else resizer(np.broadcast_to(pixels, (*pixels.shape[:2], 3)))
        return picture, pixel_digest(pixels)

    def batch(start: int) -> Batch:
        begin, end = max(start, first), min(start + size, last)
        pictures, digests = zip(*readers.map(read, range(begin, end)), strict=True)
        filled = np.stack([pictures[min(max(index, begin), end - 1) - begin] for index in range(start, start + size)])
        made = torch.from_numpy(filled).permute(0, 3, 1, 2)
        if resizer is None:  # a network that resizes has its last bits from images whose channels lie apart
            made = to_rgb(made.contiguous())
        return Batch(made, slice(begin - start, end - start), list(digests))

    with ThreadPoolExecutor(READERS) as readers, ThreadPoolExecutor(1) as maker:
        yield _in_order(maker, batch, range(first - first % size, last, size) if first < last else ())


def _in_order(threads: ThreadPoolExecutor, make: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """What the threads make of the items, at most AHEAD before they are asked for."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(threads.submit(make, item))
        if len(waiting) > AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
