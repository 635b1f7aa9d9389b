"""Config that VQGAN, RQ-VAE and LDM's KL autoencoder share: VQGAN's network, losses and optimizer.

Defaults are those of VQGAN's code (CompVis/taming-transformers: the model and its perceptual loss, and the
published configs for 256 x 256); each family replaces those that its own code has otherwise. What neither a
paper nor code says is marked as assumed.
"""

from typing import Literal

from pydantic import Field

from pipeline.settings.autoencoder import (
    NORM_GROUPS,
    Adversarial,
    AutoencoderSettings,
    AutoencoderTraining,
    Discriminator,
    Losses,
    Perceptual,
    check_multipliers,
)
from pipeline.settings.fields import Counts, Section


class FirstStageNetwork(Section):
    """VQGAN's convolutional encoder and decoder (Esser et al. 2021, table 7), `ddconfig` in its code."""

    channels: int = Field(128, ge=1, description="Unit channels (`ch`).")
    multipliers: Counts | None = Field(
        None,
        description="Channel multipliers per level (`ch_mult`); by default the first levels of (1, 1, 2, 2, 4).",
    )
    blocks: int = Field(2, ge=1, description="Residual blocks per level; the decoder has one more.")
    norm_groups: int = NORM_GROUPS
    attention_resolutions: Counts = Field(
        [16], description="Resolutions whose blocks have attention; the middle always has it."
    )
    latent_channels: int | None = Field(
        None, ge=1, description="Channels between the network and the code (`z_channels`); by default C_z."
    )


class FirstStageDiscriminator(Discriminator):
    """VQGAN's discriminator of patches: pix2pix's."""

    kind: Literal["stylegan2", "patch"] = Field("patch", description="patch: VQGAN's PatchGAN.")
    channels: int = Field(64, ge=1, description="Of the first layer; stylegan2: most channels.")


class FirstStagePerceptual(Perceptual):
    """LPIPS on VGG16, as in VQGAN's code."""

    network: Literal["vgg16", "lpips_alex", "lpips_vgg", "none"] = Field(
        "lpips_vgg", description="lpips_*: LPIPS; vgg16: Johnson's loss; none: no perceptual loss."
    )


class FirstStageAdversarial(Adversarial):
    """Hinge loss with an adaptive weight (Esser et al. 2021, equation 7)."""

    kind: Literal["wgan_gp", "logistic_r1", "hinge", "none"] = Field(
        "hinge", description="hinge: VQGAN's; wgan_gp: BRIGHT's; none: no discriminator."
    )
    weight: float = Field(0.8, ge=0, description="Times the adaptive weight (`disc_weight`).")
    adaptive: bool = Field(
        True, description="Times the ratio of the other losses' gradient to this one's, at the last layer."
    )
    penalty_weight: float = Field(0.0, ge=0, description="Weight of a gradient penalty; hinge has none.")
    start_images: int = Field(
        360_000, ge=0, description="No discriminator before so many images: 30,000 steps of 12 (`disc_start`)."
    )


class FirstStageLosses(Losses):
    """L1, LPIPS and the discriminator's."""

    l2_weight: float = Field(0.0, ge=0, description="Weight of the L2 loss.")
    l1_weight: float = Field(1.0, ge=0, description="Weight of the L1 loss.")
    perceptual_weight: float = Field(1.0, ge=0, description="Weight of the perceptual loss.")
    perceptual: FirstStagePerceptual = Field(FirstStagePerceptual(), description="The perceptual loss.")
    adversarial: FirstStageAdversarial = Field(FirstStageAdversarial(), description="The adversarial loss.")


class FirstStageTraining(AutoencoderTraining):
    """Adam with the learning rate 4.5e-6 times the batch."""

    images: int = Field(2_400_000, ge=1, description="Training images seen in all. Assumed: as BRIGHT's.")
    batch: int = Field(12, ge=1, description="Images per step, over all processes. Assumed.")
    learning_rate: float = Field(5.4e-5, gt=0, description="Adam's: 4.5e-6 times the batch.")
    betas: tuple[float, float] = Field((0.5, 0.9), description="Adam's.")
    epsilon: float = Field(1e-8, gt=0, description="Adam's.")
    ema_half_life_images: float = Field(0, ge=0, description="Of averaged weights; 0: no average, as in the code.")


class FirstStage(AutoencoderSettings):
    """What the three families share."""

    network: FirstStageNetwork = Field(FirstStageNetwork(), description="Encoder and decoder.")
    discriminator: FirstStageDiscriminator = Field(FirstStageDiscriminator(), description="The discriminator.")
    losses: FirstStageLosses = Field(FirstStageLosses(), description="Weights of the losses.")
    training: FirstStageTraining = Field(FirstStageTraining(), description="Optimization.")

    def check_resolution(self, resolution: int) -> None:
        """A multiplier for each level from the image's resolution down to H_z."""
        size = self.code_size.height
        if resolution < size:
            raise ValueError(f"code_size: H_z at most the dataset's resolution {resolution}, not {size}")
        check_multipliers("network.multipliers", self.network.multipliers, resolution, size)
