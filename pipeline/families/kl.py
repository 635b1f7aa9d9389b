"""LDM's KL autoencoder (Rombach et al. 2022): VQGAN's, with a slight penalty towards a standard normal code.

Recipe: CompVis/latent-diffusion, models/first_stage_models/kl-f8/config.yaml, the first stage of its model of
LSUN-Church: 256 x 256 images, 32 x 32 x 4 codes.
"""

from typing import Literal

from pydantic import Field

from pipeline.families import AutoencoderFamily
from pipeline.settings.fields import Counts
from pipeline.settings.first_stage import FirstStage, FirstStageAdversarial, FirstStageLosses, FirstStageNetwork


class KLNetwork(FirstStageNetwork):
    """Wider than VQGAN's, without attention but in the middle."""

    multipliers: Counts | None = Field(
        [1, 2, 4, 4], description="Channel multipliers per level (`ch_mult`); null: those of VQGAN."
    )
    attention_resolutions: Counts = Field(
        [], description="Resolutions whose blocks have attention; the middle always has it."
    )


class KLAdversarial(FirstStageAdversarial):
    """A later start."""

    weight: float = Field(0.5, ge=0, description="Times the adaptive weight (`disc_weight`).")
    start_images: int = Field(
        600_000, ge=0, description="No discriminator before so many images: 50,000 steps of 12 (`disc_start`)."
    )


class KLLosses(FirstStageLosses):
    """With the divergence from the standard normal distribution."""

    kl_weight: float = Field(
        1e-6,
        ge=0,
        description="Of the KL divergence, summed over a code, against reconstruction losses summed over an image.",
    )
    adversarial: KLAdversarial = Field(KLAdversarial(), description="The adversarial loss.")


class KL(FirstStage):
    """A KL autoencoder, which section 3.4 argues against."""

    family: Literal["kl"] = Field(description="The model family.")
    network: KLNetwork = Field(KLNetwork(), description="Encoder and decoder.")
    losses: KLLosses = Field(KLLosses(), description="Weights of the losses.")


FAMILY = AutoencoderFamily(
    method="KL autoencoder",
    settings=KL,
    model="pipeline.models.kl:KLAutoencoder",
    counts="pipeline.models.first_stage_counts:counts",
)
