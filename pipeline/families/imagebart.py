"""ImageBART (Esser et al. 2021): transformers invert a short chain of multinomial diffusion over VQGAN indices.

The defaults are the authors' four-step FFHQ models, as their public configs have them (CompVis/imagebart,
configs/ffhq/4_scales): 16 x 16 indices, betas "geometric". Not public, and assumed here: how long they trained,
and on how many GPUs. Theirs also leave out codebook entries that no training image uses, and their last
network, without an encoder, is 26 layers of width 800 instead of 24 of 752.
"""

from typing import Literal

from pydantic import Field, model_validator

from pipeline.families import GeneratorFamily
from pipeline.settings.fields import Section
from pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class Transformer(Section):
    """The network of each step of the chain."""

    width: int = Field(752, ge=1, description="Width of a token.")
    heads: int = Field(16, ge=1, description="Heads of an attention.")
    encoder_layers: int = Field(18, ge=1, description="Layers that read the noisier indices.")
    decoder_layers: int = Field(6, ge=1, description="Layers that predict; the last step's network has all of both.")

    @model_validator(mode="after")
    def _divisible(self) -> "Transformer":
        if self.width % self.heads:
            raise ValueError(f"width: divisible by heads = {self.heads}, not {self.width}")
        return self


class ImageBARTTraining(GeneratorTraining):
    """Optimization; all steps' networks learn side by side, from the same images."""

    steps: int = Field(1_500_000, ge=1, description="Optimizer steps; the cosine decay ends there. Assumed.")
    batch: int = Field(16, ge=1, description="Code maps per step, over all processes; the authors' of one GPU.")
    learning_rate: float = Field(1e-4, gt=0, description="AdamW's.")
    warmup_steps: int = Field(10_000, ge=0, description="Linear warm-up.")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's.")
    weight_decay: float = Field(0.01, ge=0, description="AdamW's.")
    ema_decay: float = Field(0.9999, ge=0, lt=1, description="Of the averaged weights, per step.")


class ImageBART(GeneratorSettings):
    """Networks that turn noise into the indices of a VQGAN, in a few steps."""

    family: Literal["imagebart"] = Field(description="The model family.")
    dataset: None = Field(None, description="None: it is trained on codes.")
    autoencoder: str = Field(description="A name under `autoencoders`, of family vqgan.")
    codebook_size: int = Field(1024, ge=2, description="K, entries of that autoencoder's codebook.")
    steps: int = Field(4, ge=1, description="T, steps of the chain.")
    transformer: Transformer = Field(Transformer(), description="The network of each step.")
    training: ImageBARTTraining = Field(ImageBARTTraining(), description="Optimization.")


FAMILY = GeneratorFamily(
    method="ImageBART",
    settings=ImageBART,
    model="pipeline.models.imagebart:ImageBART",
    task="pipeline.training.imagebart:ImageBARTTask",
    reads="codes",
)
