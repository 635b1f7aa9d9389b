"""Batches of metric networks: read ahead by threads, the same images in the same places, and no thread left behind."""

import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.data.archive import ArchiveWriter, ImageArchive, Images, encode_png, pixel_digest
from bright_pipeline.data.decode import decode
from bright_pipeline.evaluation.batches import AHEAD, rgb_batches
from hypothesis import given, settings
from hypothesis import strategies as st

SIZE = 4  # of a batch


class Numbered(Images):
    """Image i has the pixels i; remembers which were read."""

    def __init__(self, count: int, channels: int = 3):
        self.names, self.resolution, self.channels = [str(index) for index in range(count)], 2, channels
        self.read_ones: set[int] = set()
        self.second_batch = threading.Event()

    def read(self, index: int) -> np.ndarray:
        self.read_ones.add(index)
        if index >= SIZE:
            self.second_batch.set()
        return np.full((2, 2, self.channels), index, np.uint8)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    def at_work() -> set[threading.Thread]:
        return {thread for thread in threading.enumerate() if not thread.daemon}  # tqdm's monitor is one

    before = at_work()
    yield
    assert at_work() == before


@pytest.mark.parametrize("stop", [None, InputError("the network is missing"), KeyboardInterrupt()])
def test_the_next_batches_are_read_ahead_until_their_reader_stops(stop: BaseException | None) -> None:
    images = Numbered(1000)
    stops = pytest.raises(type(stop)) if stop else nullcontext()
    with stops, closing(rgb_batches(images, 0, 1000, SIZE)) as batches:
        next(batches)
        assert images.second_batch.wait(timeout=60)
        if stop is not None:
            raise stop
    assert len(images.read_ones) <= (AHEAD + 1) * SIZE


@settings(max_examples=50)
@given(
    st.integers(0, 20), st.integers(0, 20), st.integers(1, 7), st.integers(0, 9), st.sampled_from([1, 3]), st.booleans()
)
def test_every_image_has_its_place(one, other, size, starts_at, channels, resizes) -> None:
    first, last = starts_at + min(one, other), starts_at + max(one, other)
    images = Numbered(20, channels)

    def enlarge(pixels: np.ndarray) -> np.ndarray:
        return pixels.repeat(3, 0).repeat(3, 1)

    seen, digests = [], []
    for batch in rgb_batches(images, first, last, size, starts_at, enlarge if resizes else None):
        side = 6 if resizes else 2
        assert batch.images.shape == (size, 3, side, side) and batch.images.dtype == torch.uint8
        start = (first + len(seen)) // size * size
        places = np.arange(start, start + size).clip(first, last - 1) - starts_at
        assert torch.equal(batch.images, torch.from_numpy(places)[:, None, None, None].expand_as(batch.images))
        seen += batch.images[batch.used, 0, 0, 0].tolist()
        digests += batch.digests
    assert seen == list(range(first - starts_at, last - starts_at))
    assert digests == [pixel_digest(np.full((2, 2, channels), index, np.uint8)) for index in seen]
    assert images.read_ones == set(seen)


def test_an_image_that_cannot_be_read_is_one_line_that_names_it(tmp_path: Path) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    with ArchiveWriter(tmp_path / "images.zip", 3) as writer:
        for index in range(9):
            writer.add_encoded(f"{index}.png", encode_png(pixels)[: 60 if index == 6 else None])
    seen = []
    line = r"images\.zip: 6\.png: not a readable image .*; create the archive again$"
    with pytest.raises(InputError, match=line):
        for batch in rgb_batches(ImageArchive(tmp_path / "images.zip"), 0, 9, 2):
            seen += batch.digests
    assert len(seen) == 6


def test_decoding_in_threads_leaves_warnings_as_they_were() -> None:
    encoded, before = encode_png(np.zeros((8, 8, 3), np.uint8)), list(warnings.filters)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(decode, [encoded] * 3000, [3] * 3000))
    assert warnings.filters == before
