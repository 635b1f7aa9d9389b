"""Training DDPM: a UNet on the pixels of a training split."""

from accelerate import Accelerator

from pipeline.families.ddpm import DDPM as DDPMSettings
from pipeline.models.ddpm import DDPM
from pipeline.training.denoising import DenoisingTask
from pipeline.training.images import TrainingImages
from pipeline.training.task import Part


class DDPMTask(DenoisingTask):
    """Trains the UNet of a DDPM on images in [-1, 1]."""

    name = "train DDPM"

    def __init__(self, settings: DDPMSettings, data: TrainingImages, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator, settings.execution)
        self.flip = settings.training.flip
        model = DDPM(settings, data.shape)
        self.train(model, model.unet)

    def next_batch(self, step: int) -> list[Part]:
        """The next images; random flips as Ho et al. have them where the config says so."""
        return self.next_images(step, self.flip)
