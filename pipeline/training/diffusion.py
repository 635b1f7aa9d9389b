"""Training a diffusion model on the codes of an autoencoder (section 4): key codes scaled to 2 z - 1."""

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from pipeline.base.errors import InputError
from pipeline.base.seeds import seed_for
from pipeline.config.diffusion import Diffusion, Sampler
from pipeline.config.fields import CodeSize
from pipeline.data.pictures import contact_sheet
from pipeline.models.rescaling import fit_rescaling
from pipeline.models.samplers import denoise
from pipeline.models.unet import build_unet
from pipeline.training.averages import averaged
from pipeline.training.codes import TrainingCodes
from pipeline.training.denoising import DenoisingTask
from pipeline.training.order import StepOrder
from pipeline.training.randomness import StepRandom

PREVIEW_IMAGES = 8
PREVIEW_SAMPLER = Sampler(kind="ddim", steps=20)


class DiffusionTask(DenoisingTask):
    """Trains a UNet on the codes of a training split; InputError where the codes can't be rescaled as asked."""

    name = "train diffusion"

    def __init__(self, settings: Diffusion, data: TrainingCodes, seed: int, accelerator: Accelerator):
        self.data, self.diffusion = data, settings
        torch.manual_seed(seed_for(seed, "initial weights"))
        channels, height, width = data.shape
        unet = build_unet(settings.unet, CodeSize(height, width, channels)).to(accelerator.device)
        super().__init__(settings, len(data), unet, unet, seed, accelerator)
        # Of the whole global batch, so that the number of processes changes nothing.
        first = next(iter(StepOrder(len(data), self.batch, seed, 0, 1)))
        try:
            self.rescaling = fit_rescaling(settings.rescaling, data.bounds, data.codes[first])
        except ValueError as error:
            raise InputError(f"diffusion.{error}") from None
        self.order: Iterator[list[int]] = iter(())

    def start(self, step: int) -> None:
        """Get ready to go on from `step`."""
        self.order = iter(self.order_from(step))

    def next_batch(self, random: StepRandom) -> Tensor:
        """The next codes, rescaled."""
        codes = self.data.codes[next(self.order)].to(self.accelerator.device, torch.float32)
        return self.rescaling.apply(codes)

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """A row of samples, always from the same noise."""
        indices = list(range(PREVIEW_IMAGES))
        with averaged(self.average, self.model):
            codes = denoise(
                self.unet, self.settings, PREVIEW_SAMPLER, indices, self.seed, self.data.shape, self.rescaling
            )
            return contact_sheet([self.data.decoder.decode(codes.nan_to_num())])
