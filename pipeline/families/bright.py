"""BRIGHT (section 3): key codes, groups of hash tables, a StyleGAN2-type decoder."""

from pipeline.families import AutoencoderFamily
from pipeline.settings.autoencoder import Autoencoder

FAMILY = AutoencoderFamily(
    method="BRIGHT",
    settings=Autoencoder,
    model="pipeline.models.bright:Bright",
    counts="pipeline.models.complexity:counts",
    traits="pipeline.models.traits:bright",
)
