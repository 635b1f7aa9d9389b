"""BRIGHT (section 3): key codes, groups of hash tables, a StyleGAN2-type decoder."""

from bright_pipeline.families import AutoencoderFamily
from bright_pipeline.settings.autoencoder import Autoencoder

FAMILY = AutoencoderFamily(
    method="BRIGHT",
    settings=Autoencoder,
    model="bright_pipeline.models.bright:Bright",
    counts="bright_pipeline.models.complexity:counts",
    traits="bright_pipeline.models.traits:bright",
)
