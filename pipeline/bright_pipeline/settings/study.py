"""Config of a study: one search for training settings, the same for several autoencoders."""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Any

from pydantic import Field

from bright_pipeline.settings.fields import Betas, Section

MOST_TRIALS = 500


class Grid(Section):
    """Every combination of these values is a trial; keys without values stay as in the entry."""

    learning_rate: list[float] = Field([], description="Of decoder and tables.")
    encoder_learning_rate: list[float] = Field([], description="Of the encoder.")
    betas: list[Betas] = Field([], description="Adam's.")

    def _check(self) -> None:
        for key in ("learning_rate", "encoder_learning_rate"):
            if any(rate <= 0 for rate in getattr(self, key)):
                raise ValueError(f"{key}: rates above 0, not {getattr(self, key)}")
        if not 1 < prod(len(given) for key in type(self).model_fields if (given := getattr(self, key))) <= MOST_TRIALS:
            raise ValueError(f"2 to {MOST_TRIALS} combinations, such as learning_rate: [1.0e-3, 1.0e-2]")

    def combinations(self) -> Iterator[dict[str, Any]]:
        """Changes of `training`, one for each trial."""
        grid = {key: given for key in type(self).model_fields if (given := getattr(self, key))}
        for chosen in product(*grid.values()):
            yield dict(zip(grid, chosen, strict=True))


class Study(Section):
    """A search: each autoencoder is trained with every combination of the grid, and measured on images for tuning.

    The images for tuning are held out from the training images; no validation image is used. All trials are trained for
    the same loss, and the lowest loss on these images is the best.
    """

    autoencoders: list[str] = Field(min_length=1, description="Names under `autoencoders`, of one dataset and loss.")
    grid: Grid = Field(description="The values to try.")
    images: int = Field(ge=1, description="Training images of each trial.")
    tuning: int = Field(1000, ge=1, description="Training images, the last ones, held out to measure on.")
    seeds: list[int] = Field([0], min_length=1, description="Training seeds of each trial; their mean is compared.")
