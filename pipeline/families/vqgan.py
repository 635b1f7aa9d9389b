"""VQGAN (Esser et al. 2021): a convolutional autoencoder whose code is quantized by one codebook.

Recipe: CompVis/taming-transformers, configs/imagenet_vqgan.yaml and its variants for faces.
"""

from typing import Literal

from pydantic import Field

from pipeline.families import AutoencoderFamily
from pipeline.settings.fields import Section
from pipeline.settings.first_stage import FirstStage


class Codebook(Section):
    """The codebook, learned by gradients."""

    entries: int = Field(1024, ge=2, description="1024 in VQGAN's models of faces; 16384 in its larger ones.")
    commitment_weight: float = Field(
        1.0, ge=0, description="Pulls codes to their entries. As in VQGAN's code; its paper has 0.25 here, 1 below."
    )
    entry_weight: float = Field(0.25, ge=0, description="Pulls entries to their codes.")
    restart_after_images: int = Field(
        0,
        ge=0,
        description="An entry that no code was nearest to in so many training images restarts at a code of the batch;"
        " 0: never, as in VQGAN's code.",
    )


class VQGAN(FirstStage):
    """A VQGAN: a row of Tables 2 and 3."""

    family: Literal["vqgan"] = Field(description="The model family.")
    codebook: Codebook = Field(Codebook(), description="The codebook.")

    def whole_batch_component(self) -> str | None:
        """Restarted entries are codes of the batch."""
        return (
            "codebook.restart_after_images" if self.codebook.restart_after_images else super().whole_batch_component()
        )


FAMILY = AutoencoderFamily(
    method="VQGAN",
    settings=VQGAN,
    model="pipeline.models.vqgan:VQGAN",
    counts="pipeline.models.first_stage_counts:counts",
    traits="pipeline.models.traits:vqgan",
)
