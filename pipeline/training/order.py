"""Which items a step sees: a function of (seed, step) alone, so that resuming is exact."""

from collections.abc import Iterator

import torch

from pipeline.base.seeds import seed_for


class StepOrder:
    """Batches of indices into `count` items, from step `first` to `last`; each epoch has its own permutation.

    Yields this process's rows of the global batch, for DataLoader's `batch_sampler`.
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
            yield [self._item(step * self.batch + row) for row in self.rows]

    def _item(self, position: int) -> int:
        epoch, offset = divmod(position, self.count)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(seed_for(self.seed, "epoch", epoch))
            self._permutation = torch.randperm(self.count, generator=generator).tolist()
            self._epoch = epoch
        return self._permutation[offset]
