"""Training DDPM: a UNet on the pixels of a training split."""

from collections.abc import Iterator

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor

from pipeline.base.seeds import seed_for
from pipeline.config.diffusion import Sampler
from pipeline.data.archive import to_model
from pipeline.data.pictures import contact_sheet
from pipeline.families.ddpm import DDPM as DDPMSettings
from pipeline.models.ddpm import DDPM
from pipeline.training.averages import averaged
from pipeline.training.denoising import DenoisingTask
from pipeline.training.images import TrainingImages
from pipeline.training.randomness import StepRandom

PREVIEW_IMAGES = 8
PREVIEW_SAMPLER = Sampler(kind="ddim", steps=20)


class DDPMTask(DenoisingTask):
    """Trains the UNet of a DDPM on images in [-1, 1]."""

    name = "train DDPM"

    def __init__(self, settings: DDPMSettings, data: TrainingImages, seed: int, accelerator: Accelerator):
        self.data, self.flip = data, settings.training.flip
        torch.manual_seed(seed_for(seed, "initial weights"))
        model = DDPM(settings, (data.channels, data.resolution, data.resolution)).to(accelerator.device)
        super().__init__(settings, len(data), model, model.unet, seed, accelerator)
        self.batches: Iterator[Tensor] = iter(())

    def start(self, step: int) -> None:
        """Get ready to go on from `step`."""
        self.batches = self.data.batches(self.order_from(step))

    def next_batch(self, random: StepRandom) -> Tensor:
        """The next images; random flips as Ho et al. have them where the config says so."""
        images = to_model(next(self.batches).to(self.accelerator.device))
        if not self.flip:
            return images
        flipped = random.uniform((len(images), 1, 1, 1)) < 0.5
        return torch.where(flipped, images.flip(3), images)

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """A row of samples, always from the same noise."""
        with averaged(self.average, self.model):
            return contact_sheet([self.model.sample(list(range(PREVIEW_IMAGES)), self.seed, PREVIEW_SAMPLER)])
