"""One step of training StyleGAN2 (Karras et al. 2020): logistic loss, lazy R1 and path-length regularization."""

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.families.stylegan2 import StyleGAN2 as StyleGAN2Settings
from pipeline.models.discriminator import Discriminator
from pipeline.models.stylegan2 import StyleGAN2, mixed_styles
from pipeline.training import losses
from pipeline.training.images import TrainingImages
from pipeline.training.path_length import Penalties, path_lengths
from pipeline.training.randomness import StepRandom
from pipeline.training.task import TrainingTask


class StyleGAN2Task(TrainingTask):
    """Trains generator and discriminator, a step of each in turn."""

    name = "train StyleGAN2"

    def __init__(self, settings: StyleGAN2Settings, data: TrainingImages, seed: int, accelerator: Accelerator):
        training, self.settings = settings.training, settings
        super().__init__(data, training.batch, -(-training.images // training.batch), seed, accelerator)
        self.model = self.add("model", StyleGAN2(settings, data.shape))
        self.critic = self.add("critic", Discriminator(settings.discriminator, data.resolution, data.channels))
        self.penalties = self.add("penalties", Penalties())
        self.average_weights(0.5 ** (self.batch / training.ema_half_life_images))
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        """Adam. A penalty every k steps is a step more: rates and betas are set as if k + 1 steps were k."""
        training, lazy = self.settings.training, self.settings.regularization
        critic_rate = training.discriminator_learning_rate or training.learning_rate
        rates = {
            "model": (training.learning_rate, lazy.path_every if lazy.path_weight else None),
            "critic": (critic_rate, lazy.r1_every if lazy.r1_gamma else None),
        }
        for name, (rate, every) in rates.items():
            share = every / (every + 1) if every else 1.0
            betas = (training.betas[0] ** share, training.betas[1] ** share)
            weights = self.modules[name].parameters()
            self.optimize(name, torch.optim.Adam(weights, lr=rate * share, betas=betas, eps=training.epsilon))

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the generator, then of the discriminator, each followed by its penalty's where that is due."""
        lazy, random = self.settings.regularization, self.random(step)
        images = self.next_images(random, self.settings.training.flip)
        numbers = self._step_model(len(images), random)
        if lazy.path_weight and step % lazy.path_every == 0:
            self._regularize_model(step)
        numbers |= self._step_critic(images, random)
        if lazy.r1_gamma and step % lazy.r1_every == 0:
            self._regularize_critic(images)
        self._update_average(step)
        return numbers | {name: value.clone() for name, value in self.penalties.named_buffers()}

    def _styles(self, count: int, random: StepRandom, track: bool = False) -> list[Tensor]:
        """A w for each layer. Two are mixed by image; the authors draw one crossover for a GPU's whole batch."""
        width, layers = self.settings.mapping.latent_width, self.model.layers
        first, second = (self.model.mapping(random.normal((count, width))) for _ in range(2))
        crossovers = 1 + random.integers(layers - 1, (count,))
        mixed = random.uniform((count,)) < self.settings.training.style_mixing
        if track:
            mean = self.accelerator.reduce(first.detach().float().mean(0), "mean")
            self.model.mapping.track(mean, self.settings.training.w_average_decay)
        return mixed_styles(first, second, torch.where(mixed, crossovers, layers), layers)

    def _step_model(self, count: int, random: StepRandom) -> dict[str, Tensor]:
        with self.accelerator.autocast():
            scores = self.critic(self.model.synthesize(self._styles(count, random, track=True), random.normal))
        loss = losses.generator_loss("logistic_r1", scores.float())
        self.descend("model", loss)
        return {"generator_loss": loss.detach(), "fake_score": scores.detach().float().mean()}

    def _regularize_model(self, step: int) -> None:
        """The path-length penalty, in float32, times the steps that it stands for."""
        lazy = self.settings.regularization
        random = self.random(step, "path length", self.batch // lazy.path_batch_divisor)
        styles = self._styles(random.rows.stop - random.rows.start, random)
        images = self.model.synthesize(styles, random.normal)
        lengths = path_lengths(images, styles, random.normal(tuple(images.shape)))
        target = self.penalties.follow(self.accelerator.reduce(lengths.detach().mean(), "mean"), lazy.path_decay)
        penalty = (lengths - target).square().mean()
        self.descend("model", lazy.path_weight * lazy.path_every * penalty)
        self.penalties.path_penalty.copy_(penalty.detach())

    def _step_critic(self, images: Tensor, random: StepRandom) -> dict[str, Tensor]:
        with self.accelerator.autocast():
            with torch.no_grad():
                fakes = self.model.synthesize(self._styles(len(images), random), random.normal)
            fake_scores, real_scores = self.critic(fakes), self.critic(images)
        loss = losses.critic_loss("logistic_r1", real_scores.float(), fake_scores.float())
        self.descend("critic", loss)
        return {"critic_loss": loss.detach(), "real_score": real_scores.detach().float().mean()}

    def _regularize_critic(self, images: Tensor) -> None:
        """R1, gamma / 2 E[||grad D(x)||^2], times the steps that it stands for."""
        lazy = self.settings.regularization
        penalty = losses.r1_penalty(self.critic, images)
        self.descend("critic", lazy.r1_gamma * lazy.r1_every * penalty)
        self.penalties.r1.copy_(penalty.detach())

    def _update_average(self, step: int) -> None:
        training = self.settings.training
        if training.ema_ramp is not None:
            seen = (step + 1) * self.batch
            half_life = min(training.ema_half_life_images, seen * training.ema_ramp)
            self.average.decay = 0.5 ** (self.batch / half_life)
        self.average.step(self.model.parameters())
