"""VQGAN's bottleneck between BRIGHT's networks."""

from bright_pipeline.families import AutoencoderFamily, vqgan
from pydantic import Field

from exchanged.settings import BrightNetworks


class Settings(BrightNetworks, vqgan.VQGAN):
    """VQGAN's settings, and those of BRIGHT's networks."""

    family: str = Field("exchanged.vqgan", description="The model family.")


FAMILY = AutoencoderFamily(
    method="VQGAN in BRIGHT's networks",
    settings=Settings,
    model="exchanged.networks:VQGAN",
    counts="exchanged.networks:counts",
)
