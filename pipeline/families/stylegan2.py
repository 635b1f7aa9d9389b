"""StyleGAN2 (Karras et al. 2020): a generator of images, trained against a discriminator."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.families import GeneratorFamily
from pipeline.settings.autoencoder import Discriminator
from pipeline.settings.fields import Section, is_power_of_two
from pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class Mapping(Section):
    """The mapping network, z to w."""

    latent_width: int = Field(512, ge=1, description="Dimensions of z.")
    style_width: int = Field(512, ge=1, description="Dimensions of w.")
    layers: int = Field(8, ge=1, description="Fully connected layers.")


class Synthesis(Section):
    """The synthesis network: a learned 4 x 4 constant, skip outputs."""

    channels: int = Field(512, ge=1, description="The most channels.")
    base: int = Field(32768, ge=1, description="Resolution r has min(channels, base // r) channels. Default: config F.")
    noise: bool = Field(True, description="Noise inputs. Small networks after short trainings turn them into grain.")


class Regularization(Section):
    """Lazy regularization of the discriminator (R1) and of the generator (path length)."""

    r1_gamma: float = Field(
        10.0, ge=0, description="gamma of R1. 0: no R1. Default: config F; the authors tune it per dataset."
    )
    r1_every: int = Field(16, ge=1, description="Steps between R1 regularizations.")
    path_weight: float = Field(2.0, ge=0, description="Weight of the path-length penalty. 0: no penalty.")
    path_every: int = Field(4, ge=1, description="Steps between path-length regularizations.")
    path_decay: float = Field(0.01, gt=0, le=1, description="Decay rate of the mean path length.")
    path_batch_divisor: int = Field(
        2, ge=1, description="The penalty is computed on the batch size divided by this number, to save memory."
    )


class StyleGAN2Training(GeneratorTraining):
    """Optimization (config F)."""

    images: int = Field(25_000_000, ge=1, description="Training images in total. Default: config F on FFHQ.")
    batch: int = Field(32, ge=1, description="Images per step, over all processes.")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's learning rate of the generator.")
    discriminator_learning_rate: float | None = Field(
        None, gt=0, description="Adam's learning rate of the discriminator; by default learning_rate."
    )
    betas: tuple[float, float] = Field((0.0, 0.99), description="Adam's betas.")
    epsilon: float = Field(1e-8, gt=0, description="Adam's epsilon.")
    style_mixing: float = Field(0.9, ge=0, le=1, description="Share of images that mix two w.")
    ema_half_life_images: float = Field(10_000, gt=0, description="Half-life of the EMA weights, in images.")
    ema_ramp: float | None = Field(
        None, gt=0, description="Upper bound of the half-life as a multiple of the images seen so far; by default none."
    )
    w_average_decay: float = Field(
        0.998, ge=0, lt=1, description="Decay of the mean w per step; only truncated images use it."
    )
    flip: bool = Field(False, description="Random horizontal flips. The authors flip FFHQ.")


class StyleGAN2(GeneratorSettings):
    """StyleGAN2 with the authors' config F. At 256 x 256 it is assumed, since BRIGHT's authors name no config."""

    family: Literal["stylegan2"] = Field(description="The model family.")
    dataset: str = Field(description="A name under `datasets`.")
    autoencoder: None = Field(None, description="None: StyleGAN2 is trained on images.")
    mapping: Mapping = Field(Mapping(), description="The mapping network.")
    synthesis: Synthesis = Field(Synthesis(), description="The synthesis network.")
    discriminator: Discriminator = Field(Discriminator(minibatch_deviation=4), description="The discriminator.")
    regularization: Regularization = Field(Regularization(), description="Lazy regularization.")
    training: StyleGAN2Training = Field(StyleGAN2Training(), description="Optimization.")

    @model_validator(mode="after")
    def _groups_fit(self) -> "StyleGAN2":
        """Require whole groups, and a whole share of the batch of the path-length penalty, on each process."""
        if self.discriminator.kind != "stylegan2":
            raise ValueError(f"discriminator.kind: must be stylegan2, not {self.discriminator.kind}")
        if self.execution.compile and self.regularization.path_weight:
            raise ValueError(
                "execution.compile: torch.compile cannot differentiate twice, as the path-length penalty does; leave it"
                " out, or set regularization.path_weight to 0"
            )
        for key, number in (
            ("discriminator.minibatch_deviation", self.statistics_group),
            ("regularization.path_batch_divisor", self.regularization.path_batch_divisor),
        ):
            if self.training.batch % (self.execution.processes * number):
                raise ValueError(
                    f"training.batch: must be divisible by {key} = {number} on each of {self.execution.processes}"
                    f" processes, not {self.training.batch}"
                )
        return self

    @property
    def statistics_group(self) -> int:
        """Images that share the minibatch standard deviation."""
        return self.discriminator.minibatch_deviation or 1

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """Resolutions double, starting from 4."""
        _, height, width = shape
        if height != width or not is_power_of_two(height) or height < 8:
            raise ValueError(f"dataset: its resolution must be a power of two from 8 on, not {height} x {width}")
        for key, base in (("synthesis", self.synthesis.base), ("discriminator", self.discriminator.base)):
            if base < height:
                raise ValueError(f"{key}.base: must be at least the dataset's resolution {height}, not {base}")


FAMILY = GeneratorFamily(
    method="StyleGAN2",
    settings=StyleGAN2,
    model="pipeline.models.stylegan2:StyleGAN2",
    task="pipeline.training.stylegan2:StyleGAN2Task",
)
