"""One step of learning to denoise (section 4): noise or velocity, weighted by min-SNR, of codes or of images."""

from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from torch import Tensor, nn

from bright_pipeline.base.errors import InputError
from bright_pipeline.families.ddpm import DDPM as DDPMSettings
from bright_pipeline.models.diffusion import DDPM, build_unet, denoise, schedule_arguments
from bright_pipeline.models.rescaling import fit_rescaling
from bright_pipeline.settings.diffusion import Diffusion, Prediction
from bright_pipeline.settings.fields import CodeSize
from bright_pipeline.training.batches import MicroBatch, StepOrder, TrainingCodes, TrainingData, TrainingImages
from bright_pipeline.training.task import PREVIEW_IMAGES, PREVIEW_SAMPLER, TrainingTask, learning_rate


def signal_to_noise(bars: Tensor) -> Tensor:
    """The SNR at every timestep, from alpha-bar (timesteps,), rounded as in min-SNR's own code."""
    return (bars**0.5 / (1.0 - bars) ** 0.5) ** 2


def min_snr_weight(snr: Tensor, gamma: float, prediction: Prediction) -> Tensor:
    """min-SNR's weight of a squared error (Hang et al. 2023): that of the clean code's error is min(SNR, gamma).

    The squared error of the noise is SNR times that of the clean code (equation 6), the velocity's SNR + 1 times.
    """
    return snr.clamp(max=gamma) / (snr if prediction == "noise" else snr + 1)


class DenoisingTask(TrainingTask):
    """Trains a UNet to denoise the examples that `next_examples` returns: codes or images."""

    unet: nn.Module  # the network that denoises: `model`, or a part of it

    def __init__(self, settings: Diffusion | DDPMSettings, data: TrainingData, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator)
        self.scheduler = DDPMScheduler(**schedule_arguments(settings))
        self.snr = signal_to_noise(self.scheduler.alphas_cumprod).to(self.device)

    def train(self, model: nn.Module, unet: nn.Module) -> None:
        """Set the model that is trained."""
        training = self.settings.training
        self.model, self.unet = self.add_model(model), unet
        self.track_ema(training.ema_decay)
        how = {"lr": training.learning_rate, "betas": training.betas, "fused": self.fused}
        self.optimize("model", torch.optim.Adam(model.parameters(), **how))

    def next_examples(self, step: int) -> list[MicroBatch]:
        """The next examples (n, C, H, W), about in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__}.next_examples")

    def step(self, step: int) -> dict[str, Tensor]:
        """A step of the UNet at a random timestep of each example, then of the EMA."""
        training = self.settings.training
        warmup = training.warmup_steps
        floor, peak = training.learning_rate_floor, training.learning_rate
        rate = learning_rate(peak - floor, step, self.steps, training.decay, warmup=warmup, decay_from=warmup)
        self.set_learning_rate(rate + floor * min(1.0, (step + 1) / max(warmup, 1)))
        numbers = self.minimize("model", self.next_examples(step), self._loss, max_norm=training.gradient_clip)
        self.ema.step(self.model.parameters())
        return numbers

    def _loss(self, batch: MicroBatch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted mean squared error of the prediction, and its numbers."""
        clean, random, kind = batch.items, batch.random, self.settings.prediction
        # The forward process: each example at a timestep of its own.
        noise = random.normal(tuple(clean.shape))
        timesteps = random.integers(self.settings.timesteps, (len(clean),))
        noisy: Any = self.scheduler.add_noise(clean, noise, timesteps)
        target = noise if kind == "noise" else self.scheduler.get_velocity(clean, noise, timesteps)
        with self.accelerator.autocast():
            predicted = self.unet(noisy, timesteps).sample
        errors = (predicted.float() - target).square().mean((1, 2, 3))
        # min-SNR: timesteps with little noise would otherwise dominate.
        gamma = self.settings.training.min_snr_gamma
        weighted = errors if gamma is None else min_snr_weight(self.snr[timesteps], gamma, kind) * errors
        loss = weighted.mean()
        return loss, {"loss": loss, "error": errors.mean()}


class DiffusionTask(DenoisingTask):
    """Trains a UNet on the codes of a training split; InputError where these codes can't be rescaled as configured."""

    name = "train diffusion"

    def __init__(self, settings: Diffusion, data: TrainingCodes, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator)
        self.shape, self.decoder = data.shape, data.decoder
        self.code_noise, self.bounds = settings.code_noise, data.decoder.code_range
        channels, height, width = data.shape
        self.code_size = CodeSize(height, width, channels)
        unet = build_unet(settings.unet, self.code_size)
        self.train(unet, unet)
        # The whole first batch, so that the number of processes changes nothing.
        first = next(iter(StepOrder(len(data), self.batch, seed, 0, 1)))
        try:
            self.rescaling = fit_rescaling(settings.rescaling, data.decoder.code_range, data.codes, first)
        except ValueError as error:
            raise InputError(f"diffusion.{error}") from None

    def next_examples(self, step: int) -> list[MicroBatch]:
        batch = self.next_batch(step)
        for micro_batch in batch:
            codes = micro_batch.items.to(torch.float32)
            if self.code_noise:
                codes = codes + self.code_noise * micro_batch.random.normal(tuple(codes.shape))
                codes = codes if self.bounds is None else codes.clamp(*self.bounds)
            micro_batch.items = self.rescaling.apply(codes)
        return batch

    def preview_rows(self) -> list[Tensor]:
        """Decoded samples, always from the same noise."""
        indices = list(range(PREVIEW_IMAGES))
        codes = denoise(self.unet, self.settings, PREVIEW_SAMPLER, indices, self.seed, self.shape, self.rescaling)
        return [self.decoder.decode(codes.nan_to_num())]


class DDPMTask(DenoisingTask):
    """Trains the UNet of a DDPM on images in [-1, 1]."""

    name = "train DDPM"

    def __init__(self, settings: DDPMSettings, data: TrainingImages, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator)
        model = DDPM(settings, data.shape)
        self.train(model, model.unet)

    def next_examples(self, step: int) -> list[MicroBatch]:
        """The next images, with the random flips of Ho et al. where the config has them."""
        return self.next_images(step, self.settings.training.flip)
