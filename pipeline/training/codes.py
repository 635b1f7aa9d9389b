"""The codes of a training split, with the autoencoder that decodes them."""

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from pipeline.models.autoencoder import ImageAutoencoder
from pipeline.models.checkpoints import load_autoencoder, read_codes
from pipeline.training.order import StepOrder


class TrainingCodes:
    """What models of codes are trained on; all codes are in memory."""

    def __init__(self, codes: Tensor, decoder: ImageAutoencoder):
        """codes: (count, C_z, H_z, W_z), on the CPU."""
        self.codes, self.decoder = codes, decoder

    @classmethod
    def read(cls, codes: Path, autoencoder: Path, device: torch.device) -> "TrainingCodes":
        """From the files that `dump_codes` and `train_autoencoder` wrote."""
        return cls(read_codes(codes), load_autoencoder(autoencoder, device))

    def __len__(self) -> int:
        return len(self.codes)

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """Batches of codes (local batch, C_z, H_z, W_z), on the CPU, where a GPU can fetch them while it works."""
        batches = (self.codes[rows] for rows in order)
        return (batch.pin_memory() for batch in batches) if torch.cuda.is_available() else batches

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C_z, H_z, W_z)."""
        return tuple(self.codes.shape[1:])
