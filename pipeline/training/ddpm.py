"""Training DDPM: a UNet on the pixels of a training split. One step is that of `pipeline.training.diffusion`."""

from accelerate import Accelerator

from pipeline.families.ddpm import DDPM as DDPMSettings
from pipeline.models.ddpm import DDPM
from pipeline.training.batches import MicroBatch, TrainingImages
from pipeline.training.diffusion import DenoisingTask


class DDPMTask(DenoisingTask):
    """Trains the UNet of a DDPM on images in [-1, 1]."""

    name = "train DDPM"

    def __init__(self, settings: DDPMSettings, data: TrainingImages, seed: int, accelerator: Accelerator):
        super().__init__(settings, data, seed, accelerator, settings.execution)
        self.flip = settings.training.flip
        model = DDPM(settings, data.shape)
        self.train(model, model.unet)

    def next_examples(self, step: int) -> list[MicroBatch]:
        """The next images, with the random flips of Ho et al. where the config has them."""
        return self.next_images(step, self.flip)
