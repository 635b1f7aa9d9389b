"""One step of training ImageBART (Esser et al. 2021): each network of the chain learns its transition.

The loss of network t is the cross-entropy of a sampled x_{t-1}, the hard targets of the authors' code. The last
network learns the whole posterior q(x_{t-1} | x_t, x_0) instead (Kullback-Leibler), also as in their code.
"""

from typing import Any

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.families.imagebart import ImageBART as ImageBARTSettings
from bright_pipeline.models.imagebart import ImageBART
from bright_pipeline.training.batches import MicroBatch, TrainingCodes
from bright_pipeline.training.task import TrainingTask, learning_rate

INDEXED_AT_ONCE = 256  # codes that are quantized together


class ImageBARTTask(TrainingTask):
    """Trains the T networks side by side: they share no weight, so their losses add up."""

    name = "train ImageBART"

    def __init__(self, settings: ImageBARTSettings, data: TrainingCodes, seed: int, accelerator: Accelerator):
        training, self.decoder = settings.training, data.decoder
        entries, device = codebook(data.decoder, settings.codebook_size), next(data.decoder.parameters()).device
        with torch.no_grad():
            parts = [data.decoder.indices(codes.to(device)).cpu() for codes in data.codes.split(INDEXED_AT_ONCE)]
        if parts[0].ndim != 3:
            raise InputError("autoencoder: ImageBART needs one index for each position, as family vqgan has")
        self.indices = torch.cat(parts).flatten(1)  # (count, H_z W_z), in raster order, on the CPU
        super().__init__(settings, TrainingCodes(self.indices, data.decoder), seed, accelerator)
        self.model = self.add_model(ImageBART(settings, data.shape))
        self.model.entries.copy_(entries)
        self.track_ema(training.ema_decay)
        how = {"lr": training.learning_rate, "betas": training.betas, "weight_decay": training.weight_decay}
        self.optimize("model", torch.optim.AdamW(self.model.parameters(), **how, fused=self.fused))

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of all networks down the sum of their losses, then of the EMA."""
        training = self.settings.training
        warmup = training.warmup_steps
        rate = learning_rate(training.learning_rate, step, self.steps, "cosine", warmup=warmup, decay_from=warmup)
        self.set_learning_rate(rate)
        numbers = self.minimize("model", self.next_batch(step), self._losses)
        self.ema.step(self.model.parameters())
        return numbers

    def _losses(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum of all networks' losses, and each of them."""
        # The chain x_0, ..., x_T of multinomial diffusion, each (n, L).
        random, shape, chain = batch.random, tuple(batch.items.shape), [batch.items]
        for t in range(1, self.settings.steps + 1):
            chances, others = random.uniform(shape), random.integers(self.settings.codebook_size, shape)
            chain.append(self.model.diffusion.advance(chain[-1], t, chances, others))
        numbers = {f"loss_{t}": self._loss(chain, t) for t in range(1, len(chain))}
        return torch.stack(list(numbers.values())).sum(), numbers

    def _loss(self, chain: list[Tensor], t: int) -> Tensor:
        """The loss of network t, in nats per index."""
        with self.accelerator.autocast():
            logits = self.model.reverse[t - 1](chain[t - 1], chain[t]).float()
        if t < self.settings.steps:
            return F.cross_entropy(logits.flatten(0, 1), chain[t - 1].flatten())
        posterior = self.model.diffusion.posterior(chain[t], chain[0], t)
        return F.kl_div(logits.log_softmax(-1), posterior, reduction="none").sum(-1).mean()

    def preview_rows(self) -> list[Tensor]:
        return [self.decoder.decode(codes) for codes in super().preview_rows()]


@torch.no_grad()
def codebook(decoder: Any, size: int) -> Tensor:
    """The entries (K, C_z) of the autoencoder's codebook; InputError without a codebook of this size."""
    entries = getattr(decoder, "codebook_size", None)
    if entries is None:
        raise InputError("autoencoder: ImageBART needs one with a codebook, of family vqgan")
    if entries != size:
        raise InputError(f"codebook_size: the autoencoder's codebook has {entries} entries, not {size}")
    device = next(decoder.parameters()).device
    return decoder.codes_of(torch.arange(size, device=device)[:, None, None]).flatten(1).cpu()
