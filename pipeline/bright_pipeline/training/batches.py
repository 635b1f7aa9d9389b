"""The batches of a training: which items a step sees, in what micro-batches, and its random numbers.

All are functions of (seed, step) alone, so a resumed training continues bit for bit without saving any of them. Neither
the number of processes nor the size of micro-batches changes a number: each process draws the random numbers of the
whole global batch and keeps its own rows.
"""

import atexit
import copy
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bright_pipeline.base.process import on_end_request, own_cores
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.data.archive import ImageArchive
from bright_pipeline.models.autoencoder import ImageAutoencoder

IN_MEMORY_BYTES = 512 * 2**20  # a smaller collection is decoded once and stays in memory
# Devices whose tensors have shapes but no data (`bright_pipeline.estimation.fake_gpu`): they draw on the CPU.
DATALESS_DEVICES = ("meta", "fakegpu")


class StepOrder:
    """Batches of indices into `count` items, for steps `first` to `last` - 1; each epoch has its own permutation.

    Yields this process's rows of each global batch, as DataLoader's `batch_sampler` expects.
    """

    def __init__(self, count: int, batch: int, seed: int, first: int, last: int, process: int = 0, processes: int = 1):
        self.count, self.batch, self.seed, self.first, self.last = count, batch, seed, first, last
        self.rows = range(process * batch // processes, (process + 1) * batch // processes)
        self._epoch = -1
        self._permutation: list[int] = []

    def __len__(self) -> int:
        return max(0, self.last - self.first)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.first, self.last):
            items = []
            for row in self.rows:
                epoch, offset = divmod(step * self.batch + row, self.count)
                if epoch != self._epoch:
                    generator = torch.Generator().manual_seed(seed_for(self.seed, "epoch", epoch))
                    self._permutation = torch.randperm(self.count, generator=generator).tolist()
                    self._epoch = epoch
                items.append(self._permutation[offset])
            yield items


class StepRandom:
    """Random numbers of step `step`; `rows` are this process's (or this micro-batch's) rows of the global batch."""

    def __init__(self, seed: int, step: int, batch: int, device: torch.device, process: int = 0, processes: int = 1):
        draws_on = "cpu" if device.type in DATALESS_DEVICES else device
        self.generator = torch.Generator(draws_on).manual_seed(seed_for(seed, "step", step))
        self.batch, self.device = batch, device
        self.rows = slice(process * batch // processes, (process + 1) * batch // processes)

    def split(self, size: int | None) -> "list[StepRandom]":
        """Copies for micro-batches of `size` rows (the last one may be smaller), which all draw the same numbers."""
        if size is None or size >= self.rows.stop - self.rows.start:
            return [self]
        parts = []
        for first in range(self.rows.start, self.rows.stop, size):
            parts.append(part := copy.copy(self))
            part.generator = torch.Generator(self.generator.device)
            part.generator.set_state(self.generator.get_state())
            part.rows = slice(first, min(first + size, self.rows.stop))
        return parts

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        return torch.randn((self.batch, *shape[1:]), generator=self.generator, device=self.device)[self.rows]

    def uniform(self, shape: tuple[int, ...]) -> Tensor:
        return torch.rand((self.batch, *shape[1:]), generator=self.generator, device=self.device)[self.rows]

    def integers(self, below: int, shape: tuple[int, ...]) -> Tensor:
        return torch.randint(below, (self.batch, *shape[1:]), generator=self.generator, device=self.device)[self.rows]

    def shared_integers(self, below: int, count: int) -> Tensor:
        """`count` integers in [0, below), the same in every process."""
        return torch.randint(below, (count,), generator=self.generator, device=self.device)


@dataclass
class MicroBatch:
    """Items that a process sees at once: its whole share of a batch, or `execution.micro_batch` of them."""

    items: Tensor  # (n, ...)
    random: StepRandom  # random numbers of these rows
    weight: float  # the fraction of the process's share of the batch that these items are

    def weighted(self, loss: Tensor) -> Tensor:
        """The contribution of a mean loss over these items to the mean over the process's share of the batch."""
        return loss if self.weight == 1 else self.weight * loss


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
        """uint8 batches (local batch, C, R, R); worker processes decode a collection that does not fit in memory."""
        workers = 0 if self.kept is not None else min(8, own_cores())
        if workers:
            atexit.register(_end_workers)  # runs before the exits of torch and multiprocessing, which send SIGTERM
        pinned = torch.cuda.is_available()
        ignoring = _ignore_end_requests
        loader = DataLoader(self, batch_sampler=order, num_workers=workers, worker_init_fn=ignoring, pin_memory=pinned)
        return iter(loader)


def _ignore_end_requests(worker: int) -> None:
    """Leave requests to end to the training, which needs its workers until its state is saved.

    Slurm and Ctrl-C send them to all processes of a job; a worker that ends by one raises an error in the training.
    """
    on_end_request(signal.SIG_IGN)


def _end_workers() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler takes the end of a worker for a failure
    for worker in multiprocessing.active_children():
        worker.kill()


class TrainingCodes:
    """The codes of a training split, all in memory, and the autoencoder that decodes them."""

    def __init__(self, codes: Tensor, decoder: ImageAutoencoder):
        """codes: (count, C_z, H_z, W_z), on the CPU."""
        self.codes, self.decoder = codes, decoder
        self.shape: tuple[int, int, int] = tuple(codes.shape[1:])

    def __len__(self) -> int:
        return len(self.codes)

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """Batches of codes (local batch, C_z, H_z, W_z) on the CPU, pinned so that a GPU copies them while it works."""
        batches = (self.codes[rows] for rows in order)
        return (batch.pin_memory() for batch in batches) if torch.cuda.is_available() else batches


TrainingData = TrainingImages | TrainingCodes
