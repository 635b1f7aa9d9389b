"""RQ-VAE's bottleneck between BRIGHT's networks."""

from bright_pipeline.families import AutoencoderFamily, rqvae
from pydantic import Field

from exchanged.settings import BrightNetworks


class Settings(BrightNetworks, rqvae.RQVAE):
    """RQ-VAE's settings, and those of BRIGHT's networks."""

    family: str = Field("exchanged.rqvae", description="The model family.")


FAMILY = AutoencoderFamily(
    method="RQ-VAE in BRIGHT's networks",
    settings=Settings,
    model="exchanged.networks:RQVAE",
    counts="exchanged.networks:counts",
)
