"""Training a diffusion model on the codes of an autoencoder (section 4)."""

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.models.diffusion import build_unet, denoise
from pipeline.models.rescaling import fit_rescaling
from pipeline.settings.diffusion import Diffusion
from pipeline.settings.fields import CodeSize
from pipeline.training.codes import TrainingCodes
from pipeline.training.denoising import DenoisingTask
from pipeline.training.order import StepOrder
from pipeline.training.task import PREVIEW_IMAGES, PREVIEW_SAMPLER, Part


class DiffusionTask(DenoisingTask):
    """Trains a UNet on the codes of a training split; InputError where the codes can't be rescaled as asked."""

    name = "train diffusion"

    def __init__(self, settings: Diffusion, data: TrainingCodes, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator, settings.execution)
        self.shape, self.decoder = data.shape, data.decoder
        channels, height, width = data.shape
        self.code_size = CodeSize(height, width, channels)
        unet = build_unet(settings.unet, self.code_size)
        self.train(unet, unet)
        # Of the whole global batch, so that the number of processes changes nothing.
        first = next(iter(StepOrder(len(data), self.batch, seed, 0, 1)))
        try:
            self.rescaling = fit_rescaling(settings.rescaling, data.decoder.code_range, data.codes, first)
        except ValueError as error:
            raise InputError(f"diffusion.{error}") from None

    def next_batch(self, step: int) -> list[Part]:
        """The next codes, rescaled."""
        parts = self.next_parts(step)
        for part in parts:
            part.items = self.rescaling.apply(part.items.to(torch.float32))
        return parts

    def preview_rows(self) -> list[Tensor]:
        """Samples, always from the same noise."""
        indices = list(range(PREVIEW_IMAGES))
        codes = denoise(self.unet, self.settings, PREVIEW_SAMPLER, indices, self.seed, self.shape, self.rescaling)
        return [self.decoder.decode(codes.nan_to_num())]
