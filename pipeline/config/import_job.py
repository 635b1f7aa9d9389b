"""What the stage that imports a checkpoint is told."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.config.diffusion import Diffusion
from pipeline.config.families import AnyAutoencoder, AnyGenerator
from pipeline.config.fields import CodeSizeField, Section

SORTS = ("autoencoder", "diffusion", "generator")


class ImportJob(Section):
    """Import the checkpoint of the one entry of the config that is given; its settings must be the checkpoint's."""

    autoencoder: AnyAutoencoder | None = None
    diffusion: Diffusion | None = None
    generator: AnyGenerator | None = None
    code_size: CodeSizeField | None = Field(None, description="Of the codes that a diffusion model makes.")
    resolution: int | None = Field(None, description="Of the images of an autoencoder or a generator.")
    channels: Literal[1, 3] = Field(3, description="Of those images.")

    @property
    def sort(self) -> str:
        """Which of the entries is given."""
        return next(name for name in SORTS if getattr(self, name) is not None)

    @property
    def entry(self) -> Any:
        """The entry that is given."""
        return getattr(self, self.sort)

    @model_validator(mode="after")
    def _one_entry_with_weights(self) -> "ImportJob":
        given = [name for name in SORTS if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"one of {', '.join(SORTS)} is needed; given: {', '.join(given) or 'none'}")
        if self.entry.weights is None:
            raise ValueError(f"{self.sort}.weights: this key is missing")
        needed = "code_size" if self.sort == "diffusion" else "resolution"
        if getattr(self, needed) is None:
            raise ValueError(f"{needed}: this key is missing")
        return self
