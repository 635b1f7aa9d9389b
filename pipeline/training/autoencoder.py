"""One step of training an autoencoder of any family (section 3.3, equation 5; section 4 for the optimizers)."""

from math import cos, pi
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from pipeline.data.archive import to_model
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.discriminator import make_discriminator
from pipeline.models.perceptual import PerceptualLoss
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.training import losses
from pipeline.training.images import TrainingImages
from pipeline.training.processes import batch_norm
from pipeline.training.randomness import StepRandom
from pipeline.training.task import PREVIEW_IMAGES, TrainingTask


class AutoencoderTask(TrainingTask):
    """Trains encoder, decoder and what is between them together, and the discriminator against them."""

    name = "train autoencoder"

    def __init__(
        self,
        settings: AutoencoderSettings,
        images: TrainingImages,
        perceptual: Path | None,
        seed: int,
        accelerator: Accelerator,
    ):
        training, self.settings, self.images = settings.training, settings, images
        super().__init__(images, training.batch, -(-training.images // training.batch), seed, accelerator)
        self.model = self.add("model", make_autoencoder(settings, images.resolution, images.channels))
        self.critic: nn.Module | None = None
        if settings.losses.adversarial.kind != "none":
            critic = make_discriminator(settings.discriminator, images.resolution, images.channels)
            self.critic = self.add("critic", critic)
        self.perceptual: nn.Module | None = None
        if (wanted := settings.losses.perceptual).network != "none":
            self.perceptual = PerceptualLoss(wanted.network, perceptual, wanted.upsample).to(self.device)
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
        self.optimize("model", torch.optim.Adam(groups, betas=training.betas, eps=training.epsilon))
        if self.critic is not None:
            critic_rate, epsilon = training.discriminator_learning_rate or rate, training.discriminator_epsilon
            adam = torch.optim.Adam(self.critic.parameters(), lr=critic_rate, betas=training.betas, eps=epsilon)
            self.optimize("critic", adam)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["full_lr"] = group["lr"]

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the model, then of the critic once there is one."""
        self._set_learning_rates(step)
        random = self.random(step)
        images = self.next_images(random, self.settings.training.flip)
        with self.accelerator.autocast():
            reconstructions, own = self.model.training_pass(images, random)
        phase = self._adversarial_phase(step)
        numbers = self._step_model(images, reconstructions, own, phase == "on")
        if self.critic is not None and phase != "off":
            numbers |= self._step_critic(self.critic, images, reconstructions.detach().float(), random)
        self.average.step(self.model.parameters())
        return numbers

    def _step_model(
        self, images: Tensor, reconstructions: Tensor, own: dict[str, Tensor], adversary_counts: bool
    ) -> dict[str, Tensor]:
        """Losses are differentiated down to the reconstruction first: that shows each one's pull on it.

        From there their gradients go to the weights together, with those of the family's own losses.
        """
        settings = self.settings.losses
        leaf = reconstructions.detach().float().requires_grad_(True)
        l2 = F.mse_loss(leaf, images)
        numbers, total = {"l2": l2} | own, settings.l2_weight * l2
        if settings.l1_weight:
            numbers["l1"] = F.l1_loss(leaf, images)
            total = total + settings.l1_weight * numbers["l1"]
        if self.perceptual is not None:
            perceptual = self.perceptual(leaf, images).mean()
            numbers["perceptual"], total = perceptual, total + settings.perceptual_weight * perceptual
        pull = self._pull(total, leaf)
        if self.critic is not None and adversary_counts:
            with self.accelerator.autocast():
                scores = self.critic(leaf)
            adversarial = losses.generator_loss(settings.adversarial.kind, scores.float())  # type: ignore[arg-type]
            push = self._pull(settings.adversarial.weight * adversarial, leaf)
            if settings.adversarial.adaptive:
                push = self._adaptive_weight(reconstructions, pull, push) * push
            ratio = batch_norm(self.accelerator, push) / batch_norm(self.accelerator, pull)
            numbers |= {"adversarial": adversarial, "gradient_ratio": ratio}
            pull = pull + push
        self.optimizers["model"].zero_grad()
        extra = [self._scaled(loss) for loss in own.values()]
        torch.autograd.backward([reconstructions, *extra], [pull.to(reconstructions.dtype), *[None] * len(extra)])
        self.follow_gradients("model")
        if self.skipped("model"):
            numbers.pop("gradient_ratio", None)
        return {key: value.detach() for key, value in numbers.items()}

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

    def _step_critic(
        self, critic: nn.Module, images: Tensor, reconstructions: Tensor, random: StepRandom
    ) -> dict[str, Tensor]:
        settings = self.settings.losses.adversarial
        kind: Any = settings.kind
        with self.accelerator.autocast():
            real, fake = critic(images), critic(reconstructions)
        loss = losses.critic_loss(kind, real.float(), fake.float())
        match kind:
            case "wgan_gp":
                mix = random.uniform((len(images), 1, 1, 1))
                penalty = losses.gradient_penalty(critic, images, reconstructions, mix)
            case "logistic_r1":
                penalty = losses.r1_penalty(critic, images)
            case _:
                penalty = torch.zeros_like(loss)
        self.descend("critic", loss + settings.penalty_weight * penalty)
        estimate = real.float().mean() - fake.float().mean()
        return {"critic_estimate": estimate.detach(), "gradient_penalty": penalty.detach()}

    def _adversarial_phase(self, step: int) -> Literal["off", "critic only", "on"]:
        """No adversary at first, then a critic that learns, then one whose loss counts."""
        settings, seen = self.settings.losses.adversarial, step * self.batch
        if self.critic is None or seen < settings.start_images:
            return "off"
        return "critic only" if seen < settings.start_images + settings.critic_only_images else "on"

    def _set_learning_rates(self, step: int) -> None:
        factor = 0.5 * (1 + cos(pi * step / self.steps)) if self.settings.training.decay == "cosine" else 1.0
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
