"""RQ-VAE (Lee et al. 2022): VQGAN's autoencoder, whose code is a sum of several entries of one codebook.

The recipe is kakaobrain/rq-vae-transformer's configs/ffhq/stage1/ffhq256-rqvae-8x8x4.yaml. The 16 x 16 x 4 model of the
tables is not public; it is assumed to differ only in its levels.
"""

from typing import Literal

from pydantic import Field

from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.fields import Noted, Section, preset, setting
from bright_pipeline.settings.first_stage import FirstStage


class ResidualCodebook(Section):
    """One codebook for all depths. Each entry is an exponential moving average of the residuals nearest to it."""

    entries: int = setting(2048, "Entries of the codebook.", ge=2)
    depth: int = setting(4, "Entries summed at each position.", ge=1)
    decay: float = setting(0.99, "Decay of the moving averages, updated at each depth of each step.", gt=0, lt=1)
    commitment_weight: float = setting(0.25, "Weight of the loss that moves codes to entries, at every depth.", ge=0)
    restart_below: float = setting(
        1.0, "An entry with fewer nearest residuals (moving average) restarts at one of the batch. 0: never.", ge=0
    )


@preset(
    losses={"l2_weight": 1.0, "l1_weight": 0.0, "adversarial": {"weight": 0.75, "start_images": 0}},
    discriminator={"layers": 2},
    training={
        "images": Noted(9_000_000, "150 epochs of FFHQ's 60,000 images"),
        "batch": Noted(32, "as the authors have on each GPU"),
        "learning_rate": 4e-5,
    },
)
class RQVAE(FirstStage):
    """An RQ-VAE: a row of Tables 2 and 3."""

    family: Literal["rqvae"] = Field(description="The model family.")
    codebook: ResidualCodebook = setting(ResidualCodebook(), "The codebook.")

    def whole_batch_component(self) -> str | None:
        """The codebook follows averages over batches."""
        return "the codebook"


FAMILY = AutoencoderFamily(
    method="RQ-VAE",
    settings=RQVAE,
    model="bright_pipeline.models.rqvae:RQVAE",
    counts="bright_pipeline.models.complexity:first_stage_counts",
    traits="bright_pipeline.models.traits:index_traits",
)
