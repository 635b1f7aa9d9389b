"""Training images as batches in the order that (seed, step) decides."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.base.process import own_cores
from pipeline.data.archive import ImageArchive
from pipeline.training.order import StepOrder

IN_MEMORY_BYTES = 512 * 2**20  # a collection below this is decoded once and kept


class TrainingImages(Dataset[Tensor]):
    """The images of an archive as uint8 tensors (C, R, R)."""

    def __init__(self, path: Path):
        self.archive = ImageArchive(path)
        self.resolution, self.channels = self.archive.resolution, self.archive.channels
        self.shape = (self.channels, self.resolution, self.resolution)
        size = len(self.archive) * self.channels * self.resolution**2
        self.kept = self.archive.tensor() if size <= IN_MEMORY_BYTES else None

    def __len__(self) -> int:
        return len(self.archive)

    def __getitem__(self, index: int) -> Tensor:
        if self.kept is not None:
            return self.kept[index]
        return torch.from_numpy(self.archive.read(index)).permute(2, 0, 1).contiguous()

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """uint8 batches (local batch, C, R, R); decoded by worker processes where the images don't fit."""
        workers = 0 if self.kept is not None else min(8, own_cores())
        pinned = torch.cuda.is_available()
        return iter(DataLoader(self, batch_sampler=order, num_workers=workers, pin_memory=pinned))
