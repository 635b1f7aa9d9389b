"""VQGAN (Esser et al. 2021), after taming-transformers' configs/imagenet_vqgan.yaml and its variants for faces."""

from typing import Literal

from pydantic import Field

from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.fields import Section, setting
from bright_pipeline.settings.first_stage import FirstStage


class Codebook(Section):
    """The codebook, learned by gradient descent."""

    entries: int = setting(1024, "Codebook entries: 1024 in VQGAN's face models, 16384 in its larger ones.", ge=2)
    commitment_weight: float = setting(
        1.0, "Weight of the loss that moves codes to entries. VQGAN's code: 1; paper: 0.25, and 1 for entries.", ge=0
    )
    entry_weight: float = setting(0.25, "Weight of the loss that moves entries towards their nearest codes.", ge=0)
    restart_after_images: int = setting(
        0, "An entry nearest to no code for this many images restarts at a code of the batch. 0: never.", ge=0
    )


class VQGAN(FirstStage):
    """A VQGAN: a row of Tables 2 and 3."""

    family: Literal["vqgan"] = Field(description="The model family.")
    codebook: Codebook = setting(Codebook(), "The codebook.")

    def whole_batch_component(self) -> str | None:
        """Restarted entries are codes of the batch."""
        restarts = self.codebook.restart_after_images > 0
        return "codebook.restart_after_images" if restarts else super().whole_batch_component()


FAMILY = AutoencoderFamily(
    method="VQGAN",
    settings=VQGAN,
    model="bright_pipeline.models.vqgan:VQGAN",
    counts="bright_pipeline.models.complexity:first_stage_counts",
    traits="bright_pipeline.models.traits:index_traits",
)
