"""RQ-VAE (Lee et al. 2022): VQGAN's autoencoder, its code quantized by several entries of one codebook, summed.

Recipe: kakaobrain/rq-vae-transformer, configs/ffhq/stage1/ffhq256-rqvae-8x8x4.yaml; the tables' 16 x 16 x 4
model is not public, and is assumed to differ in its levels alone.
"""

from typing import Literal

from pydantic import Field

from pipeline.families import AutoencoderFamily
from pipeline.settings.fields import Section
from pipeline.settings.first_stage import (
    FirstStage,
    FirstStageAdversarial,
    FirstStageDiscriminator,
    FirstStageLosses,
    FirstStageTraining,
)


class ResidualCodebook(Section):
    """One codebook for all depths, an exponential moving average of the residuals nearest to each entry."""

    entries: int = Field(2048, ge=2, description="Entries of the codebook.")
    depth: int = Field(4, ge=1, description="Entries summed at each position.")
    decay: float = Field(0.99, gt=0, lt=1, description="Of the moving averages, at each depth of each step.")
    commitment_weight: float = Field(0.25, ge=0, description="Pulls codes to their sums of entries, at every depth.")
    restart_below: float = Field(
        1.0,
        ge=0,
        description="An entry nearest to fewer residuals (a moving average over the depths of the steps) restarts at"
        " a residual of the batch; 0: never.",
    )


class RQAdversarial(FirstStageAdversarial):
    """From the beginning."""

    weight: float = Field(0.75, ge=0, description="Times the adaptive weight.")
    start_images: int = Field(0, ge=0, description="No discriminator before so many images.")


class RQLosses(FirstStageLosses):
    """L2 in place of L1."""

    l2_weight: float = Field(1.0, ge=0, description="Weight of the L2 loss.")
    l1_weight: float = Field(0.0, ge=0, description="Weight of the L1 loss.")
    adversarial: RQAdversarial = Field(RQAdversarial(), description="The adversarial loss.")


class RQDiscriminator(FirstStageDiscriminator):
    """Smaller patches than VQGAN's."""

    layers: int = Field(2, ge=1, description="Convolutions with stride 2.")


class RQTraining(FirstStageTraining):
    """150 epochs of FFHQ's 60,000 images."""

    images: int = Field(9_000_000, ge=1, description="Training images seen in all.")
    batch: int = Field(32, ge=1, description="Images per step; the original's on each of its GPUs.")
    learning_rate: float = Field(4e-5, gt=0, description="Adam's.")


class RQVAE(FirstStage):
    """An RQ-VAE: a row of Tables 2 and 3."""

    family: Literal["rqvae"] = Field(description="The model family.")
    codebook: ResidualCodebook = Field(ResidualCodebook(), description="The codebook.")
    discriminator: RQDiscriminator = Field(RQDiscriminator(), description="The discriminator.")
    losses: RQLosses = Field(RQLosses(), description="Weights of the losses.")
    training: RQTraining = Field(RQTraining(), description="Optimization.")

    def whole_batch_component(self) -> str | None:
        """The codebook follows averages over batches."""
        return "the codebook"


FAMILY = AutoencoderFamily(
    method="RQ-VAE",
    settings=RQVAE,
    model="pipeline.models.rqvae:RQVAE",
    counts="pipeline.models.first_stage_counts:counts",
    traits="pipeline.models.traits:rqvae",
)
