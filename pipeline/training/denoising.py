"""One step of learning to denoise (section 4): noise prediction, min-SNR, of codes or of images."""

from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel, compute_snr
from torch import Tensor, nn

from pipeline.config.diffusion import Denoising, DiffusionTraining
from pipeline.models.noise_schedule import schedule_arguments
from pipeline.training.learning_rates import warmed_up_cosine
from pipeline.training.loop import average_gradients
from pipeline.training.order import StepOrder
from pipeline.training.randomness import StepRandom


def learning_rate(training: DiffusionTraining, step: int) -> float:
    """Linear warm-up, then cosine decay to zero at the last step (section 4)."""
    return warmed_up_cosine(training.learning_rate, training.warmup_steps, training.steps, step)


def min_snr_weight(snr: Tensor, gamma: float) -> Tensor:
    """min(SNR, gamma) / SNR, min-SNR's weight for noise prediction (Hang et al. 2023, equation 6)."""
    return snr.clamp(max=gamma) / snr


class DenoisingTask:
    """Trains a UNet to predict the noise in what `next_batch` gives; tasks on codes and on images derive from it."""

    name: str

    def __init__(
        self, settings: Denoising, count: int, model: nn.Module, unet: nn.Module, seed: int, accelerator: Accelerator
    ):
        """count: of training examples; unet: the part of `model` that denoises, or all of it."""
        training = settings.training
        self.settings, self.count, self.seed, self.accelerator = settings, count, seed, accelerator
        self.batch, self.steps = training.batch, training.steps
        self.model, self.unet = model, unet
        self.scheduler = DDPMScheduler(**schedule_arguments(settings))
        self.average = EMAModel(self.model.parameters(), decay=training.ema_decay)
        optimizer = torch.optim.Adam(self.model.parameters(), training.learning_rate, betas=training.betas)
        self.optimizers: dict[str, Any] = {"model": accelerator.prepare(optimizer)}
        self.modules: dict[str, nn.Module] = {"model": self.model}
        self.averages = {"model": self.average}

    def order_from(self, step: int) -> StepOrder:
        """The examples of this process's batches, from this step on."""
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        return StepOrder(self.count, self.batch, self.seed, step, self.steps, process, processes)

    def next_batch(self, random: StepRandom) -> Tensor:
        """The next examples (local batch, C, H, W), about in [-1, 1]."""
        raise NotImplementedError(f"{type(self).__name__}.next_batch")

    def step(self, step: int) -> dict[str, Tensor]:
        """One optimizer step."""
        training, device = self.settings.training, self.accelerator.device
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        random = StepRandom(self.seed, step, self.batch, device, process, processes)
        clean = self.next_batch(random)
        noise = random.normal(tuple(clean.shape))
        timesteps = random.integers(self.settings.timesteps, (len(clean),))
        noisy: Any = self.scheduler.add_noise(clean, noise, timesteps)
        with self.accelerator.autocast():
            predicted = self.unet(noisy, timesteps).sample
        errors = (predicted.float() - noise).square().mean((1, 2, 3))
        weights = min_snr_weight(compute_snr(self.scheduler, timesteps), training.min_snr_gamma)
        loss = (weights * errors).mean()
        optimizer = self.optimizers["model"]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(training, step)
        optimizer.zero_grad()
        self.accelerator.backward(loss)
        average_gradients(self.accelerator, self.model)
        norm = self.accelerator.clip_grad_norm_(self.model.parameters(), training.gradient_clip)
        optimizer.step()
        self.average.step(self.model.parameters())
        return {
            "loss": loss.detach(),
            "error": errors.mean().detach(),
            "gradient_norm": torch.as_tensor(norm),
        }

    def final_model(self) -> nn.Module:
        """The network with its averaged weights: what samples are made with."""
        self.average.copy_to(self.model.parameters())
        return self.model
