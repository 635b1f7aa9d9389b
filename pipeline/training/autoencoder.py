"""One step of training an autoencoder of any family (section 3.3, equation 5; section 4 for the optimizers)."""

from functools import partial
from math import cos, pi
from typing import Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from pipeline.data.archive import to_model
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.discriminator import make_discriminator
from pipeline.models.perceptual import PerceptualLoss, Weights
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.training import losses
from pipeline.training.images import TrainingImages
from pipeline.training.processes import batch_norm, mean_numbers
from pipeline.training.task import PREVIEW_IMAGES, Part, TrainingTask


class AutoencoderTask(TrainingTask):
    """Trains encoder, decoder and what is between them together, and the discriminator against them."""

    name = "train autoencoder"

    def __init__(
        self,
        settings: AutoencoderSettings,
        images: TrainingImages,
        perceptual: Weights | None,
        seed: int,
        accelerator: Accelerator,
    ):
        training, self.settings, self.images = settings.training, settings, images
        steps = -(-training.images // training.batch)
        super().__init__(images, training.batch, steps, seed, accelerator, settings.execution)
        self.model = self.add_model(make_autoencoder(settings, images.resolution, images.channels))
        self.critic: nn.Module | None = None
        if settings.losses.adversarial.kind != "none":
            critic = make_discriminator(settings.discriminator, images.resolution, images.channels)
            self.critic = self.add("critic", critic)
        self.perceptual: nn.Module | None = None
        if (wanted := settings.losses.perceptual).network != "none":
            loss = PerceptualLoss(wanted.network, perceptual, wanted.upsample, wanted.distance)
            self.perceptual = loss.to(self.device)
        adversarial = settings.losses.adversarial
        everything_from = -(-(adversarial.start_images + adversarial.critic_only_images) // self.batch)
        self.fullest_step = min(everything_from, self.steps - 1)
        half_life = training.ema_half_life_images
        self.average_weights(0.5 ** (training.batch / half_life) if half_life else 0.0)
        self._make_optimizers()

    def _make_optimizers(self) -> None:
        """Adam with its two epsilons (section 4): the small one lets rarely hit table entries move fast."""
        training = self.settings.training
        rate = training.learning_rate
        encoder = list(self.model.encoder.parameters())
        known = {id(p) for p in encoder}
        groups = [
            {"params": encoder, "lr": training.encoder_learning_rate or rate},
            {"params": [p for p in self.model.parameters() if id(p) not in known], "lr": rate},
        ]
        self.optimize("model", torch.optim.Adam(groups, betas=training.betas, eps=training.epsilon, fused=self.fused))
        if self.critic is not None:
            critic_rate, epsilon = training.discriminator_learning_rate or rate, training.discriminator_epsilon
            how = {"lr": critic_rate, "betas": training.betas, "eps": epsilon, "fused": self.fused}
            self.optimize("critic", torch.optim.Adam(self.critic.parameters(), **how))
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["full_lr"] = group["lr"]

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the model, then of the critic once there is one."""
        self._set_learning_rates(step)
        parts, phase = self.next_images(step, self.settings.training.flip), self._adversarial_phase(step)
        numbers, made = self._step_model(parts, phase == "on")
        if self.critic is not None and phase != "off":
            reconstructions = iter(made)
            critic_loss = partial(self._critic_loss, self.critic)
            numbers |= self.descend("critic", parts, lambda part: critic_loss(part, next(reconstructions)))
        self.average.step(self.model.parameters())
        return numbers

    def _step_model(self, parts: list[Part], adversary_counts: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
        """A step of the model; returns its numbers and each part's reconstructions (n, C, R, R)."""
        self.optimizers["model"].zero_grad()
        numbers, made, pulls, pushes = [], [], [], []
        for part in parts:
            with self.accelerator.autocast():
                reconstructions, own = self.model.training_pass(part.items, part.random)
            leaf = reconstructions.detach().float().requires_grad_(True)
            found, total = self._losses(leaf, part.items)
            pulls.append(self._pull(part.weighed(total), leaf))
            gradient = pulls[-1]
            if self.critic is not None and adversary_counts:
                found["adversarial"], push = self._push(self.critic, leaf, part)
                if self.settings.losses.adversarial.adaptive:
                    push = self._adaptive_weight(reconstructions, gradient, push) * push
                pushes.append(push)
                gradient = gradient + push
            extra = [self._scaled(part.weighed(loss)) for loss in own.values()]
            towards = [gradient.to(reconstructions.dtype), *[None] * len(extra)]
            with self.averaging("model", part is parts[-1]):
                torch.autograd.backward([reconstructions, *extra], towards)
            numbers.append({key: value.detach() for key, value in (found | own).items()})
            made.append(leaf.detach())
        means = mean_numbers(numbers, [part.share for part in parts])
        if pushes:
            means["gradient_ratio"] = batch_norm(self.accelerator, pushes) / batch_norm(self.accelerator, pulls)
        self.follow_gradients("model")
        if self.skipped("model"):
            means.pop("gradient_ratio", None)
        return means, made

    def _losses(self, leaf: Tensor, images: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """The losses of reconstructions without the adversary's, and their weighted sum.

        They are differentiated down to the reconstruction first: that shows each one's pull on it. From there their
        gradients go to the weights together, with those of the family's own losses.
        """
        settings = self.settings.losses
        l2 = F.mse_loss(leaf, images)
        numbers, total = {"l2": l2}, settings.l2_weight * l2
        if settings.l1_weight:
            numbers["l1"] = F.l1_loss(leaf, images)
            total = total + settings.l1_weight * numbers["l1"]
        if self.perceptual is not None:
            perceptual = self.perceptual(leaf, images).mean()
            numbers["perceptual"], total = perceptual, total + settings.perceptual_weight * perceptual
        return numbers, total

    def _push(self, critic: nn.Module, leaf: Tensor, part: Part) -> tuple[Tensor, Tensor]:
        """The adversarial loss of reconstructions, and its gradient with respect to them."""
        settings = self.settings.losses.adversarial
        with self.accelerator.autocast():
            scores = critic(leaf)
        loss = losses.generator_loss(settings.kind, scores.float())  # type: ignore[arg-type]
        return loss, self._pull(part.weighed(settings.weight * loss), leaf)

    def _adaptive_weight(self, reconstructions: Tensor, pull: Tensor, push: Tensor) -> Tensor:
        """VQGAN's weight of the adversarial loss, from gradients at the last layer; its set weight stays in front."""
        norms = []
        for gradient in (pull, push / self.settings.losses.adversarial.weight):
            gradient = gradient.to(reconstructions.dtype)
            (own,) = torch.autograd.grad(reconstructions, self.model.last_layer, gradient, retain_graph=True)
            norms.append(self.accelerator.reduce(own, "mean").norm())
        return losses.adaptive_weight(*norms)

    def _pull(self, loss: Tensor, leaf: Tensor) -> Tensor:
        """The (scaled) gradient of a loss with respect to the reconstruction."""
        return torch.autograd.grad(self._scaled(loss), leaf)[0]

    def _scaled(self, loss: Tensor) -> Tensor:
        """As fp16 needs it."""
        return loss if self.accelerator.scaler is None else self.accelerator.scaler.scale(loss)

    def _critic_loss(self, critic: nn.Module, part: Part, reconstructions: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        settings, images = self.settings.losses.adversarial, part.items
        kind: Any = settings.kind
        with self.accelerator.autocast():
            real, fake = critic(images), critic(reconstructions)
        loss = losses.critic_loss(kind, real.float(), fake.float())
        match kind:
            case "wgan_gp":
                mix = part.random.uniform((len(images), 1, 1, 1))
                penalty = losses.gradient_penalty(critic, images, reconstructions, mix)
            case "logistic_r1":
                penalty = losses.r1_penalty(critic, images)
            case _:
                penalty = torch.zeros_like(loss)
        estimate = real.float().mean() - fake.float().mean()
        return loss + settings.penalty_weight * penalty, {"critic_estimate": estimate, "gradient_penalty": penalty}

    def _adversarial_phase(self, step: int) -> Literal["off", "critic only", "on"]:
        """No adversary at first, then a critic that learns, then one whose loss counts."""
        settings, seen = self.settings.losses.adversarial, step * self.batch
        if self.critic is None or seen < settings.start_images:
            return "off"
        return "critic only" if seen < settings.start_images + settings.critic_only_images else "on"

    def _set_learning_rates(self, step: int) -> None:
        training = self.settings.training
        factor = 0.5 * (1 + cos(pi * step / self.steps)) if training.decay == "cosine" else 1.0
        if (step + 1) * self.batch < training.warmup_images:
            factor *= (step + 1) * self.batch / training.warmup_images
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * factor

    def preview_rows(self) -> list[Tensor]:
        """The first training images above their reconstructions."""
        indices = range(min(PREVIEW_IMAGES, len(self.images)))
        images = to_model(torch.stack([self.images[i] for i in indices]).to(self.device))
        self.model.eval()
        reconstructions = self.model.decode(self.model.encode(images).nan_to_num())
        self.model.train()
        return [images, reconstructions]
