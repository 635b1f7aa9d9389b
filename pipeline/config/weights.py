"""Config of weights that another program trained."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.config.diffusion import Diffusion
from pipeline.config.families import AnyAutoencoder, AnyGenerator
from pipeline.config.fields import CodeSizeField, Section

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
    """A checkpoint of another program, which an entry has instead of a training."""

    kind: ForeignKind = Field(
        description="taming_vqgan: taming-transformers' VQGAN; ldm_vq, ldm_kl: latent-diffusion's first stages; rqvae:"
        " rq-vae-transformer's; ldm: latent-diffusion's UNet; diffusers_ddpm: a folder of diffusers' DDPM."
    )
    path: str = Field(description="The checkpoint's file, or the folder.")


class ImportJob(Section):
    """Import a checkpoint as the one entry of the config that is given; its settings must be the checkpoint's."""

    kind: ForeignKind
    autoencoder: AnyAutoencoder | None = None
    diffusion: Diffusion | None = None
    generator: AnyGenerator | None = None
    code_size: CodeSizeField | None = Field(None, description="Of the codes that a diffusion model makes.")
    resolution: int | None = Field(None, description="Of the images of an autoencoder or a generator.")
    channels: Literal[1, 3] = Field(3, description="Of those images.")

    @model_validator(mode="after")
    def _one_entry_that_fits(self) -> "ImportJob":
        sort, family = BECOMES[self.kind]
        given = [name for name in ("autoencoder", "diffusion", "generator") if getattr(self, name) is not None]
        if given != [sort]:
            raise ValueError(f"{sort}: {self.kind} becomes one; given: {', '.join(given) or 'none'}")
        entry: Any = getattr(self, sort)
        if family is not None and entry.family != family:
            raise ValueError(f"{sort}: {self.kind} becomes one of family {family}, not {entry.family}")
        needed = "code_size" if sort == "diffusion" else "resolution"
        if getattr(self, needed) is None:
            raise ValueError(f"{needed}: this key is missing")
        return self
