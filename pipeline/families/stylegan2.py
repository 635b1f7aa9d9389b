"""StyleGAN2 (Karras et al. 2020): a generator of images, trained against a discriminator."""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.families import GeneratorFamily
from pipeline.settings.autoencoder import Discriminator
from pipeline.settings.fields import Section, is_power_of_two
from pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class Mapping(Section):
    """The mapping network, z to w."""

    latent_width: int = Field(512, ge=1, description="Numbers in z.")
    style_width: int = Field(512, ge=1, description="Numbers in w.")
    layers: int = Field(8, ge=1, description="Fully connected layers.")


class Synthesis(Section):
    """The synthesis network: skip outputs, from a learned constant at 4 x 4."""

    channels: int = Field(512, ge=1, description="Most channels.")
    base: int = Field(32768, ge=1, description="Channels at resolution r are min(channels, base // r); config F's.")
    noise: bool = Field(True, description="Noise inputs. A small network, trained briefly, makes grain of them.")


class Regularization(Section):
    """Lazy regularization: of the discriminator (R1) and of the generator (path lengths)."""

    r1_gamma: float = Field(
        10.0, ge=0, description="gamma of R1. Config F's, which the authors tune for each collection. 0: no R1."
    )
    r1_every: int = Field(16, ge=1, description="Steps between two of R1.")
    path_weight: float = Field(2.0, ge=0, description="Weight of the path-length penalty. 0: none.")
    path_every: int = Field(4, ge=1, description="Steps between two of the path-length penalty.")
    path_decay: float = Field(0.01, gt=0, le=1, description="How fast the mean path length follows.")
    path_batch_divisor: int = Field(2, ge=1, description="It takes the batch divided by this, which saves memory.")


class StyleGAN2Training(GeneratorTraining):
    """Optimization (config F)."""

    images: int = Field(25_000_000, ge=1, description="Training images seen in all; config F's on FFHQ.")
    batch: int = Field(32, ge=1, description="Images per step, over all processes.")
    learning_rate: float = Field(2e-3, gt=0, description="Adam's, generator.")
    discriminator_learning_rate: float | None = Field(None, gt=0, description="By default learning_rate.")
    betas: tuple[float, float] = Field((0.0, 0.99), description="Adam's.")
    epsilon: float = Field(1e-8, gt=0, description="Adam's.")
    style_mixing: float = Field(0.9, ge=0, le=1, description="Share of images with two w.")
    ema_half_life_images: float = Field(10_000, gt=0, description="Of the averaged weights.")
    ema_ramp: float | None = Field(
        None, gt=0, description="The half-life is at most this times the images seen. By default no such bound."
    )
    w_average_decay: float = Field(
        0.998, ge=0, lt=1, description="Of the average w, per step; it bears on truncated images alone."
    )
    flip: bool = Field(False, description="Random horizontal flips; the authors flip FFHQ.")


class StyleGAN2(GeneratorSettings):
    """The defaults are the authors' config F; at 256 x 256 they are assumed, since BRIGHT's authors name none."""

    family: Literal["stylegan2"] = Field(description="The model family.")
    dataset: str = Field(description="A name under `datasets`.")
    autoencoder: None = Field(None, description="None: it is trained on images.")
    mapping: Mapping = Field(Mapping(), description="The mapping network.")
    synthesis: Synthesis = Field(Synthesis(), description="The synthesis network.")
    discriminator: Discriminator = Field(Discriminator(minibatch_deviation=4), description="The discriminator.")
    regularization: Regularization = Field(Regularization(), description="Lazy regularization.")
    training: StyleGAN2Training = Field(StyleGAN2Training(), description="Optimization.")

    @model_validator(mode="after")
    def _groups_fit(self) -> "StyleGAN2":
        """Each process has whole groups, and a whole share of the path-length penalty's batch."""
        if self.discriminator.kind != "stylegan2":
            raise ValueError(f"discriminator.kind: stylegan2, not {self.discriminator.kind}")
        if self.execution.compile and self.regularization.path_weight:
            raise ValueError(
                "execution.compile: the path-length penalty differentiates twice, which torch.compile can't; leave it"
                " out, or set regularization.path_weight to 0"
            )
        self.execution.check_batch(self.training.batch, group=self.discriminator.minibatch_deviation or 1)
        for key, number in (
            ("discriminator.minibatch_deviation", self.discriminator.minibatch_deviation or 1),
            ("regularization.path_batch_divisor", self.regularization.path_batch_divisor),
        ):
            if self.training.batch % (self.execution.processes * number):
                raise ValueError(
                    f"training.batch: divisible by {key} = {number} on each of {self.execution.processes} processes,"
                    f" not {self.training.batch}"
                )
        return self

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """Resolutions double from 4."""
        _, height, width = shape
        if height != width or not is_power_of_two(height) or height < 8:
            raise ValueError(f"dataset: resolution a power of two, 8 or more, not {height} x {width}")
        for key, base in (("synthesis", self.synthesis.base), ("discriminator", self.discriminator.base)):
            if base < height:
                raise ValueError(f"{key}.base: at least the dataset's resolution {height}, not {base}")


FAMILY = GeneratorFamily(
    method="StyleGAN2",
    settings=StyleGAN2,
    model="pipeline.models.stylegan2:StyleGAN2",
    task="pipeline.training.stylegan2:StyleGAN2Task",
)
