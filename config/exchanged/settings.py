"""Settings of BRIGHT's networks, for the families that are trained in them."""

from bright_pipeline.settings.autoencoder import Decoder, Encoder
from bright_pipeline.settings.fields import Section
from pydantic import Field


class BrightNetworks(Section):
    """BRIGHT's encoder without its sigmoid; F_mlp and synthesis as in its ablation without tables (`features: mlp`)."""

    encoder: Encoder = Field(Encoder(), description="BRIGHT's encoder.")
    decoder: Decoder = Field(Decoder(), description="BRIGHT's synthesis.")
    feature_size: int = Field(ge=1, description="H_d, the size of the feature block.")
    feature_channels: int = Field(ge=1, description="C_d, its channels.")
    hidden_width: int = Field(ge=1, description="Width of F_mlp.")
