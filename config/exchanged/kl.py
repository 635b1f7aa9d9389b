"""The KL autoencoder's bottleneck between BRIGHT's networks."""

from bright_pipeline.families import AutoencoderFamily, kl
from pydantic import Field

from exchanged.settings import BrightNetworks


class Settings(BrightNetworks, kl.KL):
    """The KL autoencoder's settings, and those of BRIGHT's networks."""

    family: str = Field("exchanged.kl", description="The model family.")


FAMILY = AutoencoderFamily(
    method="KL autoencoder in BRIGHT's networks",
    settings=Settings,
    model="exchanged.networks:KLAutoencoder",
    counts="exchanged.networks:counts",
)
