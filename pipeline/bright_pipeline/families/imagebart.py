"""ImageBART (Esser et al. 2021): transformers invert a short chain of multinomial diffusion over VQGAN indices.

The defaults are those of the authors' four-step FFHQ models in their public configs (CompVis/imagebart,
configs/ffhq/4_scales): 16 x 16 indices, betas "geometric". The duration of their training and the number of GPUs are
not public and therefore assumed. Two differences remain: the authors remove codebook entries that no training image
uses, and their last network, which has no encoder, has 26 layers of width 800 instead of 24 of width 752.
"""

from typing import Literal

from pydantic import Field

from bright_pipeline.families import GeneratorFamily
from bright_pipeline.settings.fields import Betas, Section, setting
from bright_pipeline.settings.generator import GeneratorSettings, GeneratorTraining


class Transformer(Section):
    """The network of one step of the chain."""

    width: int = setting(752, "Width of the token embeddings.", ge=1)
    heads: int = setting(16, "Attention heads.", ge=1)
    encoder_layers: int = setting(18, "Layers that read the noisier indices.", ge=1)
    decoder_layers: int = setting(6, "Layers that predict. The last step's network has the sum of both numbers.", ge=1)

    def _check(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"width: must be divisible by heads = {self.heads}, not {self.width}")


class ImageBARTTraining(GeneratorTraining):
    """Optimization. The networks of all steps are trained together on the same images."""

    steps: int = setting(1_500_000, "Optimizer steps; the cosine decay ends with them. Default: assumed.", ge=1)
    batch: int = setting(16, "Codes per step, over all processes. Default: the authors' on one GPU.", ge=1)
    learning_rate: float = setting(1e-4, "AdamW's learning rate.", gt=0)
    warmup_steps: int = setting(10_000, "Steps of linear warm-up.", ge=0)
    betas: Betas = setting((0.9, 0.95), "AdamW's betas.")
    weight_decay: float = setting(0.01, "AdamW's weight decay.", ge=0)
    ema_decay: float = setting(0.9999, "Decay of the EMA weights per step.", ge=0, lt=1)


class ImageBART(GeneratorSettings):
    """Transformers that generate the indices of a VQGAN from noise in a few steps."""

    family: Literal["imagebart"] = Field(description="The model family.")
    dataset: None = setting(None, "None: ImageBART is trained on codes.")
    autoencoder: str = Field(description="A name under `autoencoders`, of family vqgan.")
    codebook_size: int = setting(1024, "K, the number of entries of that autoencoder's codebook.", ge=2)
    steps: int = setting(4, "T, the number of steps of the chain.", ge=1)
    transformer: Transformer = setting(Transformer(), "The network of each step.")
    training: ImageBARTTraining = setting(ImageBARTTraining(), "Optimization.")


FAMILY = GeneratorFamily(
    method="ImageBART",
    settings=ImageBART,
    model="bright_pipeline.models.imagebart:ImageBART",
    task="bright_pipeline.training.imagebart:ImageBARTTask",
    reads="codes",
)
