"""One step of training StyleGAN2 (Karras et al. 2020): logistic loss, lazy R1 and path-length regularization."""

import math

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.families.stylegan2 import StyleGAN2 as StyleGAN2Settings
from pipeline.models.discriminator import Discriminator
from pipeline.models.stylegan2 import StyleGAN2, mixed_styles
from pipeline.training import losses
from pipeline.training.images import TrainingImages
from pipeline.training.path_length import Penalties, path_lengths
from pipeline.training.processes import mean_numbers
from pipeline.training.randomness import StepRandom
from pipeline.training.task import Part, TrainingTask


class StyleGAN2Task(TrainingTask):
    """Trains generator and discriminator, a step of each in turn."""

    name = "train StyleGAN2"

    def __init__(self, settings: StyleGAN2Settings, data: TrainingImages, seed: int, accelerator: Accelerator):
        training, self.settings = settings.training, settings
        steps = -(-training.images // training.batch)
        super().__init__(data, training.batch, steps, seed, accelerator, settings.execution)
        self.model = self.add_model(StyleGAN2(settings, data.shape))
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
            how = {"lr": rate * share, "betas": betas, "eps": training.epsilon, "fused": self.fused}
            self.optimize(name, torch.optim.Adam(self.modules[name].parameters(), **how))

    def _penalties(self, step: int) -> tuple[bool, bool]:
        """Whether the path length and R1 are due in this step."""
        lazy = self.settings.regularization
        return (
            bool(lazy.path_weight) and step % lazy.path_every == 0,
            bool(lazy.r1_gamma) and step % lazy.r1_every == 0,
        )

    def kinds_of_steps(self) -> dict[int, float]:
        lazy = self.settings.regularization
        cycle = math.lcm(lazy.path_every, lazy.r1_every)
        kinds = [self._penalties(step) for step in range(cycle)]
        return {kinds.index(kind): kinds.count(kind) / cycle for kind in dict.fromkeys(kinds)}

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the generator, then of the discriminator, each followed by its penalty's where that is due."""
        path, r1 = self._penalties(step)
        parts = self.next_images(step, self.settings.training.flip)
        numbers = self._step_model(parts)
        if path:
            self._regularize_model(step)
        numbers |= self.descend("critic", parts, self._critic_loss)
        if r1:
            self._regularize_critic(parts)
        self._update_average(step)
        return numbers | {name: value.clone() for name, value in self.penalties.named_buffers()}

    def _styles(self, count: int, random: StepRandom) -> list[Tensor]:
        """A w for each layer. Two are mixed by image; the authors draw one crossover for a GPU's whole batch."""
        return self._mixed(*self._two_styles(count, random), random)

    def _two_styles(self, count: int, random: StepRandom) -> tuple[Tensor, Tensor]:
        """Two w (n, s) for each image."""
        width = self.settings.mapping.latent_width
        first, second = (self.model.mapping(random.normal((count, width))) for _ in range(2))
        return first, second

    def _mixed(self, first: Tensor, second: Tensor, random: StepRandom) -> list[Tensor]:
        count, layers = len(first), self.model.layers
        crossovers = 1 + random.integers(layers - 1, (count,))
        mixed = random.uniform((count,)) < self.settings.training.style_mixing
        return mixed_styles(first, second, torch.where(mixed, crossovers, layers), layers)

    def _step_model(self, parts: list[Part]) -> dict[str, Tensor]:
        means = []

        def loss(part: Part) -> tuple[Tensor, dict[str, Tensor]]:
            with self.accelerator.autocast():
                first, second = self._two_styles(len(part.items), part.random)
                styles = self._mixed(first, second, part.random)
                scores = self.critic(self.model.synthesize(styles, part.random.normal))
            means.append({"w": first.detach().float().mean(0)})
            value = losses.generator_loss("logistic_r1", scores.float())
            return value, {"generator_loss": value, "fake_score": scores.float().mean()}

        numbers = self.descend("model", parts, loss)
        mean = self.accelerator.reduce(mean_numbers(means, [part.share for part in parts])["w"], "mean")
        self.model.mapping.track(mean, self.settings.training.w_average_decay)
        return numbers

    def _regularize_model(self, step: int) -> None:
        """The path-length penalty, in float32, times the steps that it stands for.

        The target of each length stands on the mean of the whole batch: where that is seen in parts, lengths are
        taken for it first, and then again.
        """
        lazy = self.settings.regularization
        batch = self.batch // lazy.path_batch_divisor

        def parts() -> list[Part]:
            random = self.random(step, "path length", batch)
            return self.parts_of(torch.empty(random.rows.stop - random.rows.start), random)

        kept = [self._path_lengths(part) for part in parts()] if len(parts()) == 1 else []
        first = kept or [self._path_lengths(part).detach() for part in parts()]
        means = [{"length": lengths.detach().mean()} for lengths in first]
        mean = mean_numbers(means, [part.share for part in parts()])["length"]
        target = self.penalties.follow(self.accelerator.reduce(mean, "mean"), lazy.path_decay)

        def loss(part: Part) -> tuple[Tensor, dict[str, Tensor]]:
            lengths = kept[0] if kept else self._path_lengths(part)
            penalty = (lengths - target).square().mean()
            return lazy.path_weight * lazy.path_every * penalty, {"path_penalty": penalty}

        self.penalties.path_penalty.copy_(self.descend("model", parts(), loss)["path_penalty"])

    def _path_lengths(self, part: Part) -> Tensor:
        """Of images of their own, as many as the part has items."""
        styles = self._styles(len(part.items), part.random)
        images = self.model.synthesize(styles, part.random.normal)
        return path_lengths(images, styles, part.random.normal(tuple(images.shape)))

    def _critic_loss(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        with self.accelerator.autocast():
            with torch.no_grad():
                fakes = self.model.synthesize(self._styles(len(part.items), part.random), part.random.normal)
            fake_scores, real_scores = self.critic(fakes), self.critic(part.items)
        loss = losses.critic_loss("logistic_r1", real_scores.float(), fake_scores.float())
        return loss, {"critic_loss": loss, "real_score": real_scores.float().mean()}

    def _regularize_critic(self, parts: list[Part]) -> None:
        """R1, gamma / 2 E[||grad D(x)||^2], times the steps that it stands for."""
        lazy = self.settings.regularization

        def loss(part: Part) -> tuple[Tensor, dict[str, Tensor]]:
            penalty = losses.r1_penalty(self.critic, part.items)
            return lazy.r1_gamma * lazy.r1_every * penalty, {"r1": penalty}

        self.penalties.r1.copy_(self.descend("critic", parts, loss)["r1"])

    def _update_average(self, step: int) -> None:
        training = self.settings.training
        if training.ema_ramp is not None:
            seen = (step + 1) * self.batch
            half_life = min(training.ema_half_life_images, seen * training.ema_ramp)
            self.average.decay = 0.5 ** (self.batch / half_life)
        self.average.step(self.model.parameters())
