"""DDPM (Ho et al. 2020): a diffusion model on pixels."""

from typing import Literal

from pydantic import Field

from bright_pipeline.families import GeneratorFamily
from bright_pipeline.settings.diffusion import Denoising, DiffusionTraining, Schedule, UNet
from bright_pipeline.settings.fields import preset, setting
from bright_pipeline.settings.generator import GeneratorSettings, GeneratorTraining


@preset(learning_rate=2e-5, warmup_steps=5000)
class DDPMTraining(DiffusionTraining, GeneratorTraining):
    """Optimization (Ho et al. 2020, appendix B, for 256 x 256)."""

    batch: int = setting(64, "Images per step, over all processes.", ge=1)
    steps: int = setting(1_200_000, "Optimizer steps. Default: the authors' for LSUN-Church.", ge=1)
    flip: bool = setting(False, "Random horizontal flips. The authors flip all datasets but LSUN-Bedroom.")


class DDPM(Denoising, GeneratorSettings):
    """A UNet that denoises images. Defaults that differ from BRIGHT's diffusion model are Ho et al.'s for 256 x 256."""

    family: Literal["ddpm"] = Field(description="The model family.")
    dataset: str = Field(description="A name under `datasets`.")
    autoencoder: None = setting(None, "None: DDPM is trained on images.")
    unet: UNet = setting(
        UNet(channels=128, multipliers=[1, 1, 2, 2, 4, 4], attention_resolutions=[16], head_width=None, variant="ddpm"),
        "The network.",
    )
    schedule: Schedule = setting("linear", "linear: DDPM's; squaredcos_cap_v2: cosine; scaled_linear: LDM's.")
    training: DDPMTraining = setting(DDPMTraining(), "Optimization.")

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """Every level of the network halves the image."""
        levels = len(self.unet.multipliers)
        if shape[1] % 2 ** (levels - 1):
            halved = f"{levels} levels halve an image of size {shape[1]} {levels - 1} times"
            raise ValueError(f"unet.multipliers: {halved}; use at most {shape[1].bit_length()} levels")


FAMILY = GeneratorFamily(
    method="DDPM",
    settings=DDPM,
    model="bright_pipeline.models.diffusion:DDPM",
    task="bright_pipeline.training.diffusion:DDPMTask",
)
