"""One step of training StyleGAN2 (Karras et al. 2020): logistic loss, lazy R1 and path-length regularization."""

import math
from collections.abc import Sequence

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from bright_pipeline.families.stylegan2 import StyleGAN2 as StyleGAN2Settings
from bright_pipeline.models.discriminator import Discriminator
from bright_pipeline.models.stylegan2 import StyleGAN2, mixed_styles
from bright_pipeline.training import losses
from bright_pipeline.training.batches import MicroBatch, StepRandom, TrainingImages
from bright_pipeline.training.processes import weighted_means
from bright_pipeline.training.task import TrainingTask


class Penalties(nn.Module):
    """The last value of each lazy penalty, for the history, and the running mean of path lengths, their target."""

    r1: Tensor
    path_penalty: Tensor
    path_length: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name in ("r1", "path_penalty", "path_length"):
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def follow(self, length: Tensor, decay: float) -> Tensor:
        """Move the running mean by `decay` towards the mean length of a batch; returns the new mean."""
        return self.path_length.lerp_(length.detach(), decay).clone()


class StyleGAN2Task(TrainingTask):
    """Trains the generator (`model`) and the discriminator, a step of each in turn."""

    name = "train StyleGAN2"

    def __init__(self, settings: StyleGAN2Settings, data: TrainingImages, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator)
        training = settings.training
        self.model = self.add_model(StyleGAN2(settings, data.shape))
        discriminator = Discriminator(settings.discriminator, data.resolution, data.channels)
        self.discriminator = self.add("discriminator", discriminator)
        self.penalties = self.add("penalties", Penalties())
        self.track_ema(0.5 ** (self.batch / training.ema_half_life_images))
        # Adam. A penalty every k steps is an extra step: rates and betas are set as if k + 1 steps were k.
        lazy, rate = settings.regularization, training.learning_rate
        for name, full_rate, every in (
            ("model", rate, lazy.path_every if lazy.path_weight else None),
            ("discriminator", training.discriminator_learning_rate or rate, lazy.r1_every if lazy.r1_gamma else None),
        ):
            share = every / (every + 1) if every else 1.0
            betas = (training.betas[0] ** share, training.betas[1] ** share)
            how = {"lr": full_rate * share, "betas": betas, "eps": training.epsilon, "fused": self.fused}
            self.optimize(name, torch.optim.Adam(self.modules[name].parameters(), **how))

    def kind_of_step(self, step: int) -> tuple[bool, bool]:
        """Whether this step includes the path-length penalty and R1."""
        lazy = self.settings.regularization
        path_length_due = bool(lazy.path_weight) and step % lazy.path_every == 0
        return path_length_due, bool(lazy.r1_gamma) and step % lazy.r1_every == 0

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of generator, then discriminator, each followed by its lazy penalty when due; then of the EMA."""
        path_length_due, r1_due = self.kind_of_step(step)
        batch = self.next_images(step, self.settings.training.flip)
        numbers = self.minimize("model", batch, self._generator_loss)
        if path_length_due:
            self._step_path_length(step)
        numbers |= self.minimize("discriminator", batch, self._discriminator_loss)
        if r1_due:
            self.penalties.r1.copy_(self.minimize("discriminator", batch, self._r1_loss)["r1"])
        self.ema.step(self.model.parameters())
        return numbers | {name: value.clone() for name, value in self.penalties.named_buffers()}

    def _styles(self, count: int, random: StepRandom) -> list[Tensor]:
        """A w (n, s) for each layer, with style mixing.

        Crossovers are drawn for each image; the authors' code draws one for a GPU's whole batch.
        """
        width, layers = self.settings.mapping.latent_width, self.model.synthesis.layers
        first, second = (self.model.mapping(random.normal((count, width))) for _ in range(2))
        crossovers = 1 + random.integers(layers - 1, (count,))
        mixed = random.uniform((count,)) < self.settings.training.style_mixing
        return mixed_styles(first, second, torch.where(mixed, crossovers, layers), layers)

    def _generator_loss(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        random = micro_batch.random
        with self.accelerator.autocast():
            styles = self._styles(len(micro_batch.items), random)
            scores = self.discriminator(self.model.synthesize(styles, random.normal)).float()
        loss = losses.generator_loss("logistic_r1", scores)
        return loss, {"generator_loss": loss, "fake_score": scores.mean()}

    def _step_path_length(self, step: int) -> None:
        """A step of the generator down the path-length penalty, in float32, times the steps that it replaces.

        The target of all lengths is their running mean, which follows the mean of the whole batch first. In several
        micro-batches, lengths are computed for this mean without keeping graphs, and then again for the penalty.
        """
        lazy = self.settings.regularization
        size = self.batch // lazy.path_batch_divisor

        def batch() -> list[MicroBatch]:
            random = self.random(step, "path length", size)  # new: generators have a state
            return self.split(torch.empty(random.rows.stop - random.rows.start), random)

        kept = [self._path_lengths(part) for part in batch()] if len(batch()) == 1 else []
        lengths = kept or [self._path_lengths(part).detach() for part in batch()]
        mean = weighted_means([{"length": part.detach().mean()} for part in lengths], batch())["length"]
        target = self.penalties.follow(self.accelerator.reduce(mean, "mean"), lazy.path_decay)

        def loss(micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
            penalty = ((kept[0] if kept else self._path_lengths(micro_batch)) - target).square().mean()
            return lazy.path_weight * lazy.path_every * penalty, {"path_penalty": penalty}

        self.penalties.path_penalty.copy_(self.minimize("model", batch(), loss)["path_penalty"])

    def _path_lengths(self, micro_batch: MicroBatch) -> Tensor:
        """The path lengths (n,) of new images, as many as the micro-batch has items."""
        random = micro_batch.random
        styles = self._styles(len(micro_batch.items), random)
        images = self.model.synthesize(styles, random.normal)
        return path_lengths(images, styles, random.normal(tuple(images.shape)))

    def _discriminator_loss(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        images, random = micro_batch.items, micro_batch.random
        with self.accelerator.autocast():
            with torch.no_grad():
                fakes = self.model.synthesize(self._styles(len(images), random), random.normal)
            fake_scores, real_scores = self.discriminator(fakes).float(), self.discriminator(images).float()
        loss = losses.discriminator_loss("logistic_r1", real_scores, fake_scores)
        return loss, {"critic_loss": loss, "real_score": real_scores.mean()}

    def _r1_loss(self, micro_batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """R1, gamma / 2 E[||grad D(x)||^2], times the steps that it replaces."""
        lazy = self.settings.regularization
        penalty = losses.r1_penalty(self.discriminator, micro_batch.items)
        return lazy.r1_gamma * lazy.r1_every * penalty, {"r1": penalty}


def path_lengths(images: Tensor, styles: Sequence[Tensor], noise: Tensor) -> Tensor:
    """||J^T y|| of each image, (N,), with its graph (section 3.2): J is the derivative of the image with respect to w.

    images: (N, C, H, W), made from `styles`, a w (N, s) for each layer. noise: standard normal numbers of the images'
    shape; y is noise / sqrt(H W), so that the length does not depend on the resolution. As in the authors' code, the
    square is averaged over layers.
    """
    weighted = (images * noise).sum() / math.sqrt(images.shape[2] * images.shape[3])
    gradients = torch.autograd.grad(weighted, list(styles), create_graph=True)
    return torch.stack([gradient.square().sum(1) for gradient in gradients]).mean(0).sqrt()
