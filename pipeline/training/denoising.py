"""One step of learning to denoise (section 4): noise or velocity, weighted by min-SNR, of codes or of images."""

from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from torch import Tensor, nn

from pipeline.models.diffusion import schedule_arguments
from pipeline.settings.diffusion import Denoising, Prediction
from pipeline.settings.execution import Execution
from pipeline.training.task import Part, TrainingData, TrainingTask


def signal_to_noise(bars: Tensor) -> Tensor:
    """SNR at every timestep, from alpha-bar (timesteps,), with the rounding of min-SNR's own code."""
    return (bars**0.5 / (1.0 - bars) ** 0.5) ** 2


def min_snr_weight(snr: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """min-SNR's weight (Hang et al. 2023): min(SNR, gamma) of the clean code's error, whatever is predicted.

    Noise's squared error is SNR times that (equation 6), velocity's SNR + 1 times.
    """
    return snr.clamp(max=gamma) / (snr if prediction == "noise" else snr + 1)


class DenoisingTask(TrainingTask):
    """Trains a UNet to denoise what `next_batch` gives; tasks on codes and on images derive from it."""

    unet: nn.Module
    """The part of `model` that denoises, or all of it."""

    def __init__(
        self, settings: Denoising, data: TrainingData, seed: int, accelerator: Accelerator, execution: Execution
    ):
        super().__init__(data, settings.training.batch, settings.training.steps, seed, accelerator, execution)
        self.settings = settings
        self.scheduler = DDPMScheduler(**schedule_arguments(settings))
        self.snr = signal_to_noise(self.scheduler.alphas_cumprod).to(self.device)

    def train(self, model: nn.Module, unet: nn.Module) -> None:
        """What is trained."""
        training = self.settings.training
        self.model, self.unet = self.add_model(model), unet
        self.average_weights(training.ema_decay)
        how = {"lr": training.learning_rate, "betas": training.betas, "fused": self.fused}
        self.optimize("model", torch.optim.Adam(model.parameters(), **how))

    def next_batch(self, step: int) -> list[Part]:
        """The next examples (n, C, H, W), about in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__}.next_batch")

    def step(self, step: int) -> dict[str, Tensor]:
        """Predict noise or velocity at a random timestep of each example."""
        training = self.settings.training
        self.set_learning_rate(training, step)
        numbers = self.descend("model", self.next_batch(step), self._loss, training.gradient_clip)
        self.average.step(self.model.parameters())
        return numbers

    def _loss(self, part: Part) -> tuple[Tensor, dict[str, Tensor]]:
        clean, random, kind = part.items, part.random, self.settings.prediction
        noise = random.normal(tuple(clean.shape))
        timesteps = random.integers(self.settings.timesteps, (len(clean),))
        noisy: Any = self.scheduler.add_noise(clean, noise, timesteps)
        target = noise if kind == "noise" else self.scheduler.get_velocity(clean, noise, timesteps)
        with self.accelerator.autocast():
            predicted = self.unet(noisy, timesteps).sample
        errors = (predicted.float() - target).square().mean((1, 2, 3))
        gamma = self.settings.training.min_snr_gamma
        weighted = errors if gamma is None else min_snr_weight(self.snr[timesteps], gamma, kind) * errors
        loss = weighted.mean()
        return loss, {"loss": loss, "error": errors.mean()}
