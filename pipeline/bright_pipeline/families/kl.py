"""LDM's KL autoencoder (Rombach et al. 2022): VQGAN's network, with a small penalty towards a standard normal code.

The recipe is CompVis/latent-diffusion's models/first_stage_models/kl-f8/config.yaml, the first stage of its LSUN-Church
model: 256 x 256 images, 32 x 32 x 4 codes.
"""

from typing import Literal

from pydantic import Field

from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.fields import Noted, preset, setting
from bright_pipeline.settings.first_stage import FirstStage, FirstStageLosses


@preset(
    adversarial={
        "weight": Noted(0.5, "LDM's `disc_weight`"),
        "start_images": Noted(600_000, "LDM's `disc_start`, 50,000 steps of 12 images"),
    }
)
class KLLosses(FirstStageLosses):
    """VQGAN's losses and the KL divergence from the standard normal distribution."""

    kl_weight: float = setting(
        1e-6, "Weight of a code's KL divergence, relative to reconstruction losses summed over an image.", ge=0
    )


@preset(network={"multipliers": [1, 2, 4, 4], "attention_resolutions": []})
class KL(FirstStage):
    """A KL autoencoder, which section 3.4 argues against."""

    family: Literal["kl"] = Field(description="The model family.")
    losses: KLLosses = setting(KLLosses(), "Losses and their weights.")


FAMILY = AutoencoderFamily(
    method="KL autoencoder",
    settings=KL,
    model="bright_pipeline.models.kl:KLAutoencoder",
    counts="bright_pipeline.models.complexity:first_stage_counts",
)
