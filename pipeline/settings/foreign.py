"""Config of weights that another program trained: what an entry has instead of a training."""

from typing import Annotated, Literal

from pydantic import Field

from pipeline.settings.fields import Section

ForeignKind = Literal["taming_vqgan", "ldm_vq", "ldm_kl", "rqvae", "ldm", "diffusers_ddpm"]

# What each kind becomes: the sort of entry, and its family where entries have one.
BECOMES: dict[str, tuple[str, str | None]] = {
    "taming_vqgan": ("autoencoder", "vqgan"),
    "ldm_vq": ("autoencoder", "vqgan"),
    "ldm_kl": ("autoencoder", "kl"),
    "rqvae": ("autoencoder", "rqvae"),
    "ldm": ("diffusion", None),
    "diffusers_ddpm": ("generator", "ddpm"),
}


class ForeignWeights(Section):
    """A checkpoint of another program."""

    kind: ForeignKind = Field(
        description="taming_vqgan: taming-transformers' VQGAN; ldm_vq, ldm_kl: latent-diffusion's first stages; rqvae:"
        " rq-vae-transformer's; ldm: latent-diffusion's UNet; diffusers_ddpm: a folder of diffusers' DDPM."
    )
    path: str = Field(description="The checkpoint's file, or the folder.")


ImportedWeights = Annotated[
    ForeignWeights | None, Field(description="Another program's checkpoint, imported in place of a training.")
]


def check_weights(weights: ForeignWeights | None, sort: str, family: str | None) -> None:
    """ValueError, beginning with the key, where a checkpoint does not become such an entry."""
    if weights is None:
        return
    needed, needed_family = BECOMES[weights.kind]
    if sort != needed:
        raise ValueError(f"weights.kind: {weights.kind} is for an entry of {needed}s, not of {sort}s")
    if needed_family is not None and family != needed_family:
        raise ValueError(f"weights.kind: {weights.kind} is for the family {needed_family}, not {family}")
