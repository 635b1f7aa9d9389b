"""ImageBART (Esser et al. 2021): transformers invert a short chain of multinomial diffusion over VQGAN indices.

The defaults are those of the authors' four-step FFHQ models in their public configs (CompVis/imagebart,
configs/ffhq/4_scales): 16 x 16 indices, betas "geometric". The duration of their training and the number of GPUs are
not public and therefore assumed. Two differences remain: the authors remove codebook entries that no training image
uses, and their last network, which has no encoder, has 26 layers of width 800 instead of 24 of width 752.
"""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.families import GeneratorFamily
from pipeline.settings.fields import Section
from pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class Transformer(Section):
    """The network of one step of the chain."""

    width: int = Field(752, ge=1, description="Width of the token embeddings.")
    heads: int = Field(16, ge=1, description="Attention heads.")
    encoder_layers: int = Field(18, ge=1, description="Layers that read the noisier indices.")
    decoder_layers: int = Field(
        6, ge=1, description="Layers that predict. The network of the last step has the sum of both numbers."
    )

    @model_validator(mode="after")
    def _divisible(self) -> "Transformer":
        if self.width % self.heads:
            raise ValueError(f"width: must be divisible by heads = {self.heads}, not {self.width}")
        return self


class ImageBARTTraining(GeneratorTraining):
    """Optimization. The networks of all steps are trained together on the same images."""

    steps: int = Field(
        1_500_000, ge=1, description="Optimizer steps; the cosine decay ends with them. Default: assumed."
    )
    batch: int = Field(16, ge=1, description="Codes per step, over all processes. Default: the authors' on one GPU.")
    learning_rate: float = Field(1e-4, gt=0, description="AdamW's learning rate.")
    warmup_steps: int = Field(10_000, ge=0, description="Steps of linear warm-up.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's betas.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's weight decay.")
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="Decay of the EMA weights per step.")


class ImageBART(GeneratorSettings):
    """Transformers that generate the indices of a VQGAN from noise in a few steps."""

    family: Literal["imagebart"] = Field(description="The model family.")
    dataset: None = Field(None, description="None: ImageBART is trained on codes.")
    autoencoder: str = Field(description="A name under `autoencoders`, of family vqgan.")
    codebook_size: int = Field(1024, ge=2, description="K, the number of entries of that autoencoder's codebook.")
    steps: int = Field(4, ge=1, description="T, the number of steps of the chain.")
    transformer: Transformer = Field(Transformer(), description="The network of each step.")
    training: ImageBARTTraining = Field(ImageBARTTraining(), description="Optimization.")


FAMILY = GeneratorFamily(
    method="ImageBART",
    settings=ImageBART,
    model="pipeline.models.imagebart:ImageBART",
    task="pipeline.training.imagebart:ImageBARTTask",
    reads="codes",
)
