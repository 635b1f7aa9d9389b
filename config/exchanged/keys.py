"""BRIGHT's keys between VQGAN's networks, without tables."""

from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.first_stage import FirstStage, FirstStageLosses
from pydantic import Field


class Losses(FirstStageLosses):
    """Those of every family, and BRIGHT's key penalty."""

    key_penalty: float = Field(0.0, ge=0, description="Weight of the keys' mean squared distance to 0.5.")


class Settings(FirstStage):
    """Keys in [0, 1] with normal noise in training."""

    family: str = Field("exchanged.keys", description="The model family.")
    key_noise: float = Field(ge=0, description="Standard deviation of the noise on keys.")
    encoder_norm_groups: int | None = Field(None, ge=1, description="The encoder's `network.norm_groups`, if others.")
    losses: Losses = Field(Losses(), description="Losses and their weights.")


FAMILY = AutoencoderFamily(
    method="BRIGHT's keys in VQGAN's networks",
    settings=Settings,
    model="exchanged.networks:Keys",
    counts="bright_pipeline.models.complexity:first_stage_counts",
)
