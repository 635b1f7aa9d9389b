"""One step of training an autoencoder of any family (section 3.3, equation 5; section 4 for the optimizers)."""

from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn

from bright_pipeline.data.archive import to_model
from bright_pipeline.models.autoencoder import Draws
from bright_pipeline.models.checkpoints import make_autoencoder
from bright_pipeline.models.discriminator import make_discriminator
from bright_pipeline.models.perceptual import PerceptualLoss, Weights
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.training import losses
from bright_pipeline.training.batches import MicroBatch, TrainingImages
from bright_pipeline.training.processes import batch_gradient_norm, weighted_means
from bright_pipeline.training.task import PREVIEW_IMAGES, TrainingTask, learning_rate

MEASURED_IMAGES = 1024  # the first training images, whose codes scale the noise of a decoder stage


class AutoencoderTask(TrainingTask):
    """Trains encoder, bottleneck and decoder together, and the discriminator against them."""

    name = "train autoencoder"

    def __init__(
        self,
        settings: AutoencoderSettings,
        images: TrainingImages,
        perceptual: Weights | None,
        seed: int,
        accelerator: Accelerator,
    ):
        super().__init__(settings, images, seed, accelerator)
        training, self.images = settings.training, images
        self.model = self.add_model(make_autoencoder(settings, images.resolution, images.channels))
        self.discriminator: Any = None  # without an adversarial loss
        if settings.losses.adversarial.kind != "none":
            discriminator = make_discriminator(settings.discriminator, images.resolution, images.channels)
            self.discriminator = self.add("discriminator", discriminator)
        self.perceptual: nn.Module | None = None
        if (wanted := settings.losses.perceptual).network != "none":
            loss = PerceptualLoss(wanted.network, perceptual, wanted.upsample, wanted.distance, wanted.resize or 0)
            self.perceptual = loss.to(self.device)
        half_life = training.ema_half_life_images
        self.track_ema(0.5 ** (training.batch / half_life) if half_life else 0.0)
        # Adam with two epsilons (section 4): the small one lets rarely hit table entries move fast.
        rate, common = training.learning_rate, {"betas": training.betas, "fused": self.fused}
        encoder = list(self.model.encoder.parameters())
        in_encoder = {id(weight) for weight in encoder}
        self.code_deviation: Tensor | None = None  # of each channel, (C_z, 1, 1); in a decoder stage
        if settings.decoder_stage is not None:
            self.model.encoder.requires_grad_(False)
            self.code_deviation = torch.ones(settings.code_size.channels, 1, 1, device=self.device)
        groups = [
            {"params": encoder, "lr": training.encoder_learning_rate or rate},
            {"params": [weight for weight in self.model.parameters() if id(weight) not in in_encoder], "lr": rate},
        ]
        self.optimize("model", torch.optim.Adam(groups, eps=training.epsilon, **common))
        if self.discriminator is not None:
            how = {"lr": training.discriminator_learning_rate or rate, "eps": training.discriminator_epsilon}
            self.optimize("discriminator", torch.optim.Adam(self.discriminator.parameters(), **how, **common))
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["full_lr"] = group["lr"]

    def load_initial_weights(self, weights: dict[str, Tensor], path: Path) -> None:
        """Start from trained weights; a decoder stage measures the codes of their encoder."""
        super().load_initial_weights(weights, path)
        if self.code_deviation is not None:
            images = torch.stack([self.images[i] for i in range(min(MEASURED_IMAGES, len(self.images)))])
            with torch.no_grad():
                codes = torch.cat([self.model.encode(to_model(part.to(self.device))) for part in images.split(64)])
            self.code_deviation = codes.transpose(0, 1).flatten(1).std(1)[:, None, None]

    def model_pass(self, images: Tensor, random: Draws) -> tuple[Tensor, dict[str, Tensor]]:
        """Reconstructions and the family's losses; in a decoder stage, of noisy codes from the frozen encoder."""
        if (stage := self.settings.decoder_stage) is None or self.code_deviation is None:
            return self.model.training_pass(images, random)
        with torch.no_grad():
            codes = self.model.encode(images)
            codes = codes + stage.noise * self.code_deviation * random.normal(tuple(codes.shape))
            bounds = self.model.code_range
            codes = codes.nan_to_num() if bounds is None else codes.clamp(*bounds)
        return self.model.decode_noisy(codes, random), {}

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the autoencoder, then of the discriminator on the same reconstructions, then of the EMA."""
        training = self.settings.training
        factor = learning_rate(1.0, step, self.steps, training.decay, training.warmup_images, self.batch)
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = group["full_lr"] * factor
        batch, phase = self.next_images(step, training.flip), self.kind_of_step(step)
        numbers, reconstructions = self._step_model(batch, adversarial=phase == "on")
        if phase != "off":
            fakes = iter(reconstructions)
            numbers |= self.minimize("discriminator", batch, lambda part: self._discriminator_loss(part, next(fakes)))
        self.ema.step(self.model.parameters())
        return numbers

    def kind_of_step(self, step: int) -> Literal["off", "discriminator only", "on"]:
        """No adversarial loss at first; then the discriminator learns alone; then its loss counts for the model."""
        settings, seen = self.settings.losses.adversarial, step * self.batch
        if self.discriminator is None or seen < settings.start_images:
            return "off"
        return "discriminator only" if seen < settings.start_images + settings.critic_only_images else "on"

    def _step_model(self, batch: list[MicroBatch], adversarial: bool) -> tuple[dict[str, Tensor], list[Tensor]]:
        """A step of the autoencoder; returns its numbers, and the reconstructions (n, C, R, R) of each micro-batch."""
        weights, settings = self.settings.losses, self.settings.losses.adversarial
        self.optimizers["model"].zero_grad()
        numbers, fakes, gradients, adversarial_gradients = [], [], [], []
        for micro_batch in batch:
            with self.accelerator.autocast():
                reconstructions, family_losses = self.model_pass(micro_batch.items, micro_batch.random)
            # Losses are differentiated down to the reconstructions first: their gradients there can be compared, and
            # go through the decoder once.
            leaf = reconstructions.detach().float().requires_grad_(True)
            # The losses without the adversarial one (equation 5), and their weighted sum.
            l2 = F.mse_loss(leaf, micro_batch.items)
            values, total = {"l2": l2}, weights.l2_weight * l2
            if weights.l1_weight:
                values["l1"] = F.l1_loss(leaf, micro_batch.items)
                total = total + weights.l1_weight * values["l1"]
            if self.perceptual is not None:
                values["perceptual"] = self.perceptual(leaf, micro_batch.items).mean()
                total = total + weights.perceptual_weight * values["perceptual"]
            gradient = self._gradient(micro_batch.weighted(total), leaf)
            gradients.append(gradient)
            if adversarial:
                with self.accelerator.autocast():
                    scores = self.discriminator(leaf)
                values["adversarial"] = loss = losses.generator_loss(settings.kind, scores.float())
                adversarial_gradient = self._gradient(micro_batch.weighted(settings.weight * loss), leaf)
                if settings.adaptive:
                    # VQGAN's weight, from gradients of both losses at the last layer. It multiplies the configured
                    # weight, so that is divided out first.
                    norms, layer = [], self.model.last_layer
                    for at_images in (gradient, adversarial_gradient / settings.weight):
                        at_images = at_images.to(reconstructions.dtype)
                        (at_layer,) = torch.autograd.grad(reconstructions, layer, at_images, retain_graph=True)
                        norms.append(self.accelerator.reduce(at_layer, "mean").norm())
                    adversarial_gradient = losses.adaptive_weight(*norms) * adversarial_gradient
                adversarial_gradients.append(adversarial_gradient)
                gradient = gradient + adversarial_gradient
            # The family's own losses, such as a codebook's, have graphs of their own into the encoder.
            scaled = [self._scaled(micro_batch.weighted(loss)) for loss in family_losses.values()]
            with self.averaging("model", last=micro_batch is batch[-1]):
                start = [gradient.to(reconstructions.dtype), *[None] * len(scaled)]
                torch.autograd.backward([reconstructions, *scaled], start)
            numbers.append({key: value.detach() for key, value in (values | family_losses).items()})
            fakes.append(leaf.detach())
        means = weighted_means(numbers, batch)
        self.optimizers["model"].step()
        if adversarial and not self.skipped("model"):  # gradients that overflowed have no ratio
            norms = [batch_gradient_norm(self.accelerator, parts) for parts in (adversarial_gradients, gradients)]
            means["gradient_ratio"] = norms[0] / norms[1]
        return means, fakes

    def _gradient(self, loss: Tensor, leaf: Tensor) -> Tensor:
        """The gradient of a loss at the reconstructions, with fp16's loss scale."""
        return torch.autograd.grad(self._scaled(loss), leaf)[0]

    def _scaled(self, loss: Tensor) -> Tensor:
        return loss if self.accelerator.scaler is None else self.accelerator.scaler.scale(loss)

    def _discriminator_loss(self, micro_batch: MicroBatch, fakes: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of the discriminator with its penalty, and its numbers."""
        settings = self.settings.losses.adversarial
        discriminator, images = self.discriminator, micro_batch.items
        with self.accelerator.autocast():
            real_scores, fake_scores = discriminator(images).float(), discriminator(fakes).float()
        loss = losses.discriminator_loss(settings.kind, real_scores, fake_scores)
        penalty = torch.zeros_like(loss)
        if settings.kind == "wgan_gp":
            mix = micro_batch.random.uniform((len(images), 1, 1, 1))
            penalty = losses.gradient_penalty(discriminator, images, fakes, mix)
        elif settings.kind == "logistic_r1":
            penalty = losses.r1_penalty(discriminator, images)
        estimate = real_scores.mean() - fake_scores.mean()
        return loss + settings.penalty_weight * penalty, {"critic_estimate": estimate, "gradient_penalty": penalty}

    def preview_rows(self) -> list[Tensor]:
        """The first training images above their reconstructions."""
        indices = range(min(PREVIEW_IMAGES, len(self.images)))
        images = to_model(torch.stack([self.images[i] for i in indices]).to(self.device))
        self.model.eval()
        reconstructions = self.model.decode(self.model.encode(images).nan_to_num())
        self.model.train()
        return [images, reconstructions]
