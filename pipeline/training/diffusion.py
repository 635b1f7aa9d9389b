"""One step of training a diffusion model on key codes (section 4): noise prediction, cosine schedule, min-SNR."""

from collections.abc import Iterator
from math import cos, pi
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel, compute_snr
from PIL import Image
from torch import Tensor, nn

from pipeline.config.diffusion import Diffusion, DiffusionTraining, Sampler
from pipeline.config.fields import CodeSize
from pipeline.data.pictures import contact_sheet
from pipeline.generation.samplers import sample_codes
from pipeline.models.bright import Bright
from pipeline.models.unet import build_unet
from pipeline.seeds import seed_for
from pipeline.training.averages import averaged
from pipeline.training.loop import average_gradients
from pipeline.training.order import StepOrder
from pipeline.training.randomness import StepRandom

PREVIEW_IMAGES = 8
PREVIEW_SAMPLER = Sampler(kind="ddim", steps=20)


def learning_rate(training: DiffusionTraining, step: int) -> float:
    """Linear warm-up, then cosine decay to zero at the last step (section 4)."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    progress = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
    return training.learning_rate * 0.5 * (1 + cos(pi * progress))


def min_snr_weight(snr: Tensor, gamma: float) -> Tensor:
    """min(SNR, gamma) / SNR, min-SNR's weight for noise prediction (Hang et al. 2023, equation 6)."""
    return snr.clamp(max=gamma) / snr


class DiffusionTask:
    """Trains a UNet to predict the noise on key codes scaled to 2 z - 1."""

    name = "train diffusion"

    def __init__(self, settings: Diffusion, codes: Tensor, decoder: Bright, seed: int, accelerator: Accelerator):
        """codes: (count, C_z, H_z, W_z) in [0, 1], of the whole training split."""
        training = settings.training
        self.settings, self.codes, self.decoder = settings, codes, decoder
        self.seed, self.accelerator = seed, accelerator
        self.batch, self.steps = training.batch, training.steps
        torch.manual_seed(seed_for(seed, "initial weights"))
        size = CodeSize(codes.shape[2], codes.shape[3], codes.shape[1])
        self.model: nn.Module = build_unet(settings.unet, size).to(accelerator.device)
        self.scheduler = DDPMScheduler(settings.timesteps, beta_schedule=settings.schedule)
        self.average = EMAModel(self.model.parameters(), decay=training.ema_decay)
        optimizer = torch.optim.Adam(self.model.parameters(), training.learning_rate, betas=training.betas)
        self.optimizers: dict[str, Any] = {"model": accelerator.prepare(optimizer)}
        self.modules = {"model": self.model}
        self.averages = {"model": self.average}
        self.order: Iterator[list[int]] = iter(())

    def start(self, step: int) -> None:
        process, processes = self.accelerator.process_index, self.accelerator.num_processes
        self.order = iter(StepOrder(len(self.codes), self.batch, self.seed, step, self.steps, process, processes))

    def step(self, step: int) -> dict[str, Tensor]:
        training, device = self.settings.training, self.accelerator.device
        random = StepRandom(
            self.seed,
            step,
            self.batch,
            device,
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )
        codes = 2 * self.codes[next(self.order)].to(device, torch.float32) - 1
        noise = random.normal(tuple(codes.shape))
        timesteps = random.integers(self.settings.timesteps, (len(codes),))
        noisy: Any = self.scheduler.add_noise(codes, noise, timesteps)
        with self.accelerator.autocast():
            predicted = self.model(noisy, timesteps).sample
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

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """A row of samples, always from the same noise."""
        with averaged(self.average, self.model):
            codes = sample_codes(
                self.model,
                self.settings,
                PREVIEW_SAMPLER,
                list(range(PREVIEW_IMAGES)),
                self.seed,
                self.codes.shape[1:],
            )
            return contact_sheet([self.decoder.decode(codes.nan_to_num())])

    def final_model(self) -> nn.Module:
        """The network with its averaged weights: what samples are made with."""
        self.average.copy_to(self.model.parameters())
        return self.model
