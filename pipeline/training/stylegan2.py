"""One step of training StyleGAN2 (Karras et al. 2020): logistic loss, lazy R1 and path-length regularization."""

from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from PIL import Image
from torch import Tensor, nn

from pipeline.base.seeds import seed_for
from pipeline.data.archive import to_model
from pipeline.data.pictures import contact_sheet
from pipeline.families.stylegan2 import StyleGAN2 as StyleGAN2Settings
from pipeline.models.discriminator import Discriminator
from pipeline.models.stylegan2 import StyleGAN2, mixed_styles
from pipeline.training import losses
from pipeline.training.averages import averaged
from pipeline.training.images import TrainingImages
from pipeline.training.loop import average_gradients
from pipeline.training.order import StepOrder
from pipeline.training.path_length import PathLengthMean, path_lengths
from pipeline.training.randomness import StepRandom

PREVIEW_IMAGES = 8


class LastPenalties(nn.Module):
    """What the lazy penalties were when last taken: the history has them at every step."""

    r1: Tensor
    path: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("r1", torch.zeros(()))
        self.register_buffer("path", torch.zeros(()))


class StyleGAN2Task:
    """Trains generator and discriminator, a step of each in turn."""

    name = "train StyleGAN2"

    def __init__(self, settings: StyleGAN2Settings, data: TrainingImages, seed: int, accelerator: Accelerator):
        training, device = settings.training, accelerator.device
        self.settings, self.images, self.seed, self.accelerator = settings, data, seed, accelerator
        self.batch, self.steps = training.batch, -(-training.images // training.batch)
        torch.manual_seed(seed_for(seed, "initial weights"))
        self.model = StyleGAN2(settings, (data.channels, data.resolution, data.resolution)).to(device)
        self.critic = Discriminator(settings.discriminator, data.resolution, data.channels).to(device)
        self.path_length_mean = PathLengthMean().to(device)
        self.penalties = LastPenalties().to(device)
        self.average = EMAModel(self.model.parameters(), decay=0.5 ** (self.batch / training.ema_half_life_images))
        self.modules: dict[str, nn.Module] = {
            "model": self.model,
            "critic": self.critic,
            "path_length_mean": self.path_length_mean,
            "penalties": self.penalties,
        }
        self.optimizers = self._optimizers()
        self.averages = {"model": self.average}
        self.batches: Iterator[Tensor] = iter(())

    def _optimizers(self) -> dict[str, Any]:
        """Adam. A penalty every k steps is a step more: rates and betas are set as if k + 1 steps were k."""
        training, lazy = self.settings.training, self.settings.regularization
        rates = {
            "model": (self.model, training.learning_rate, lazy.path_every if lazy.path_weight else None),
            "critic": (
                self.critic,
                training.discriminator_learning_rate or training.learning_rate,
                lazy.r1_every if lazy.r1_gamma else None,
            ),
        }
        made: dict[str, Any] = {}
        for name, (module, rate, every) in rates.items():
            share = every / (every + 1) if every else 1.0
            betas = (training.betas[0] ** share, training.betas[1] ** share)
            made[name] = torch.optim.Adam(module.parameters(), lr=rate * share, betas=betas, eps=training.epsilon)
        return {name: self.accelerator.prepare(optimizer) for name, optimizer in made.items()}

    def start(self, step: int) -> None:
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        order = StepOrder(len(self.images), self.batch, self.seed, step, self.steps, process, processes)
        self.batches = self.images.batches(order)

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the generator, then of the discriminator, each followed by its penalty's where that is due."""
        lazy, random = self.settings.regularization, self._random("step", step, self.batch)
        images = to_model(next(self.batches).to(self.accelerator.device))
        if self.settings.training.flip:
            images = torch.where(random.uniform((len(images), 1, 1, 1)) < 0.5, images.flip(3), images)
        numbers = self._step_model(len(images), random)
        if lazy.path_weight and step % lazy.path_every == 0:
            self._regularize_model(step)
        numbers |= self._step_critic(images, random)
        if lazy.r1_gamma and step % lazy.r1_every == 0:
            self._regularize_critic(images)
        self._update_average(step)
        return numbers | {
            "r1": self.penalties.r1.clone(),
            "path_penalty": self.penalties.path.clone(),
            "path_length": self.path_length_mean.mean.clone(),
        }

    def _random(self, what: str, step: int, batch: int) -> StepRandom:
        accelerator = self.accelerator
        return StepRandom(
            self.seed if what == "step" else seed_for(self.seed, what),
            step,
            batch,
            accelerator.device,
            accelerator.process_index,
            accelerator.num_processes,
        )

    def _styles(self, count: int, random: StepRandom, track: bool = False) -> list[Tensor]:
        """A w for each layer. Two are mixed by image; the authors draw one crossover for a GPU's whole batch."""
        width, layers = self.settings.mapping.latent_width, self.model.layers
        first, second = (self.model.mapping(random.normal((count, width))) for _ in range(2))
        crossovers = 1 + random.integers(layers - 1, (count,))
        mixed = random.uniform((count,)) < self.settings.training.style_mixing
        if track:
            mean = self._over_processes(first.detach().float().mean(0))
            self.model.mapping.track(mean, self.settings.training.w_average_decay)
        return mixed_styles(first, second, torch.where(mixed, crossovers, layers), layers)

    def _over_processes(self, mean: Tensor) -> Tensor:
        """The mean over the whole global batch of what each process has the mean of."""
        return mean if self.accelerator.num_processes == 1 else self.accelerator.reduce(mean, "mean")

    def _step_model(self, count: int, random: StepRandom) -> dict[str, Tensor]:
        with self.accelerator.autocast():
            scores = self.critic(self.model.synthesize(self._styles(count, random, track=True), random.normal))
        loss = losses.generator_loss("logistic_r1", scores.float())
        self._descend("model", self.model, loss)
        return {"generator_loss": loss.detach(), "fake_score": scores.detach().float().mean()}

    def _regularize_model(self, step: int) -> None:
        """The path-length penalty, in float32, times the steps that it stands for."""
        lazy = self.settings.regularization
        random = self._random("path length", step, self.batch // lazy.path_batch_divisor)
        styles = self._styles(random.rows.stop - random.rows.start, random)
        images = self.model.synthesize(styles, random.normal)
        lengths = path_lengths(images, styles, random.normal(tuple(images.shape)))
        target = self.path_length_mean.follow(self._over_processes(lengths.detach().mean()), lazy.path_decay)
        penalty = (lengths - target).square().mean()
        self._descend("model", self.model, lazy.path_weight * lazy.path_every * penalty)
        self.penalties.path.copy_(penalty.detach())

    def _step_critic(self, images: Tensor, random: StepRandom) -> dict[str, Tensor]:
        with self.accelerator.autocast():
            with torch.no_grad():
                fakes = self.model.synthesize(self._styles(len(images), random), random.normal)
            fake_scores, real_scores = self.critic(fakes), self.critic(images)
        loss = losses.critic_loss("logistic_r1", real_scores.float(), fake_scores.float())
        self._descend("critic", self.critic, loss)
        return {"critic_loss": loss.detach(), "real_score": real_scores.detach().float().mean()}

    def _regularize_critic(self, images: Tensor) -> None:
        """R1, gamma / 2 E[||grad D(x)||^2], times the steps that it stands for."""
        lazy = self.settings.regularization
        penalty = losses.r1_penalty(self.critic, images)
        self._descend("critic", self.critic, lazy.r1_gamma * lazy.r1_every * penalty)
        self.penalties.r1.copy_(penalty.detach())

    def _descend(self, name: str, module: nn.Module, loss: Tensor) -> None:
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        self.accelerator.backward(loss)
        average_gradients(self.accelerator, module)
        optimizer.step()

    def _update_average(self, step: int) -> None:
        training = self.settings.training
        if training.ema_ramp is not None:
            seen = (step + 1) * self.batch
            half_life = min(training.ema_half_life_images, seen * training.ema_ramp)
            self.average.decay = 0.5 ** (self.batch / half_life)
        self.average.step(self.model.parameters())

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """A row of images of the averaged weights, always from the same latents."""
        with averaged(self.average, self.model):
            return contact_sheet([self.model.sample(list(range(PREVIEW_IMAGES)), self.seed)])

    def final_model(self) -> nn.Module:
        """The generator with its averaged weights: what samples are made with."""
        self.average.copy_to(self.model.parameters())
        return self.model
