"""DDPM (Ho et al. 2020): a diffusion model on the pixels themselves."""

from typing import Literal

from pydantic import Field

from pipeline.families import GeneratorFamily
from pipeline.settings.diffusion import Denoising, DiffusionTraining, Schedule, UNet
from pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class DDPMTraining(DiffusionTraining, GeneratorTraining):
    """Optimization (Ho et al. 2020, appendix B, for 256 x 256)."""

    batch: int = Field(64, ge=1, description="Images per step, over all processes.")
    steps: int = Field(4_400_000, ge=1, description="Optimizer steps; the original's for LSUN-Church.")
    learning_rate: float = Field(2e-5, gt=0, description="Adam's.")
    warmup_steps: int = Field(5000, ge=0, description="Linear warm-up.")
    flip: bool = Field(False, description="Random horizontal flips; the original has them except for LSUN-Bedroom.")


class DDPM(Denoising, GeneratorSettings):
    """A UNet that denoises images; the defaults are Ho et al.'s for 256 x 256, where they differ from ours."""

    family: Literal["ddpm"] = Field(description="The model family.")
    dataset: str = Field(description="A name under `datasets`.")
    autoencoder: None = Field(None, description="None: it is trained on images.")
    unet: UNet = Field(
        UNet(channels=128, multipliers=[1, 1, 2, 2, 4, 4], attention_resolutions=[16], head_width=None, variant="ddpm"),
        description="The network.",
    )
    schedule: Schedule = Field("linear", description="DDPM's; squaredcos_cap_v2: cosine; scaled_linear: LDM's.")
    training: DDPMTraining = Field(DDPMTraining(), description="Optimization.")

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """Every level of the network halves the image."""
        levels = len(self.unet.multipliers)
        if shape[1] % 2 ** (levels - 1):
            raise ValueError(
                f"unet.multipliers: {levels} levels halve an image of {shape[1]} {levels - 1} times; at most"
                f" {shape[1].bit_length()} levels"
            )


FAMILY = GeneratorFamily(
    method="DDPM",
    settings=DDPM,
    model="pipeline.models.ddpm:DDPM",
    task="pipeline.training.ddpm:DDPMTask",
)
