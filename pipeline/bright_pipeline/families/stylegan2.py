"""StyleGAN2 (Karras et al. 2020): a generator of images, trained against a discriminator."""

from typing import Literal

from pydantic import Field

from bright_pipeline.families import GeneratorFamily
from bright_pipeline.settings.autoencoder import Discriminator
from bright_pipeline.settings.fields import Betas, Section, is_power_of_two, setting
from bright_pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class Mapping(Section):
    """The mapping network, z to w."""

    latent_width: int = setting(512, "Dimensions of z.", ge=1)
    style_width: int = setting(512, "Dimensions of w.", ge=1)
    layers: int = setting(8, "Fully connected layers.", ge=1)


class Synthesis(Section):
    """The synthesis network: a learned 4 x 4 constant, skip outputs."""

    channels: int = setting(512, "The most channels.", ge=1)
    base: int = setting(32768, "Resolution r has min(channels, base // r) channels. Default: config F.", ge=1)
    noise: bool = setting(True, "Noise inputs. Small networks after short trainings turn them into grain.")


class Regularization(Section):
    """Lazy regularization of the discriminator (R1) and of the generator (path length)."""

    r1_gamma: float = setting(10.0, "gamma of R1. 0: no R1. Default: config F; the authors tune it per dataset.", ge=0)
    r1_every: int = setting(16, "Steps between R1 regularizations.", ge=1)
    path_weight: float = setting(2.0, "Weight of the path-length penalty. 0: no penalty.", ge=0)
    path_every: int = setting(4, "Steps between path-length regularizations.", ge=1)
    path_decay: float = setting(0.01, "Decay rate of the mean path length.", gt=0, le=1)
    path_batch_divisor: int = setting(2, "Divides the batch of the penalty, which saves memory.", ge=1)


class StyleGAN2Training(GeneratorTraining):
    """Optimization (config F)."""

    images: int = setting(25_000_000, "Training images in total. Default: config F on FFHQ.", ge=1)
    batch: int = setting(32, "Images per step, over all processes.", ge=1)
    learning_rate: float = setting(2e-3, "Adam's learning rate of the generator.", gt=0)
    discriminator_learning_rate: float | None = setting(None, "The discriminator's; by default learning_rate.", gt=0)
    betas: Betas = setting((0.0, 0.99), "Adam's betas.")
    epsilon: float = setting(1e-8, "Adam's epsilon.", gt=0)
    style_mixing: float = setting(0.9, "Share of images that mix two w.", ge=0, le=1)
    ema_half_life_images: float = setting(10_000, "Half-life of the EMA weights, in images.", gt=0)
    flip: bool = setting(False, "Random horizontal flips. The authors flip FFHQ.")


class StyleGAN2(GeneratorSettings):
    """StyleGAN2 with the authors' config F. At 256 x 256 it is assumed, since BRIGHT's authors name no config."""

    family: Literal["stylegan2"] = Field(description="The model family.")
    dataset: str = Field(description="A name under `datasets`.")
    autoencoder: None = setting(None, "None: StyleGAN2 is trained on images.")
    mapping: Mapping = setting(Mapping(), "The mapping network.")
    synthesis: Synthesis = setting(Synthesis(), "The synthesis network.")
    discriminator: Discriminator = setting(Discriminator(minibatch_deviation=4), "The discriminator.")
    regularization: Regularization = setting(Regularization(), "Lazy regularization.")
    training: StyleGAN2Training = setting(StyleGAN2Training(), "Optimization.")

    def _check(self) -> None:
        """Require whole groups, and a whole share of the batch of the path-length penalty, on each process."""
        super()._check()
        if self.discriminator.kind != "stylegan2":
            raise ValueError(f"discriminator.kind: must be stylegan2, not {self.discriminator.kind}")
        if self.execution.compile and self.regularization.path_weight:
            problem = "torch.compile cannot differentiate twice, as the path-length penalty does"
            raise ValueError(f"execution.compile: {problem}; leave it out, or set regularization.path_weight to 0")
        for key, number in (
            ("discriminator.minibatch_deviation", self.statistics_group),
            ("regularization.path_batch_divisor", self.regularization.path_batch_divisor),
        ):
            if self.training.batch % (self.execution.processes * number):
                wanted = f"divisible by {key} = {number} on each of {self.execution.processes} processes"
                raise ValueError(f"training.batch: must be {wanted}, not {self.training.batch}")

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
    model="bright_pipeline.models.stylegan2:StyleGAN2",
    task="bright_pipeline.training.stylegan2:StyleGAN2Task",
)
