"""Config that every family of generators has: models that make images without key codes of BRIGHT's."""

from typing import Any

from pydantic import Field, model_validator

from pipeline.settings.execution import Execution
from pipeline.settings.fields import Section
from pipeline.settings.weights import ImportedWeights, SnapshotOf, check_weights


class GeneratorTraining(Section):
    """Optimization; families add their own keys."""

    batch: int = Field(64, ge=1, description="Images or codes per step, over all processes.")


class GeneratorSettings(Section):
    """What every family of generators has (`pipeline/families`)."""

    family: str = Field(description="The model family: a module of `pipeline/families`, or one of yours.")
    dataset: str | None = Field(None, description="A name under `datasets`, for a family that is trained on images.")
    autoencoder: str | None = Field(
        None, description="A name under `autoencoders`, for a family that is trained on codes."
    )
    weights: ImportedWeights = None
    snapshot_of: SnapshotOf = None
    training: GeneratorTraining = Field(GeneratorTraining(), description="Optimization.")
    execution: Execution = Field(Execution(), description="How it runs.")
    seed: int = Field(0, description="Added to the run's root seed, for further training seeds.")

    @model_validator(mode="after")
    def _shared_evenly(self) -> "GeneratorSettings":
        self.execution.check_batch(self.training.batch)
        self.execution.check_without_images()
        check_weights(self.weights, "generator", self.family)
        return self

    def architecture(self) -> dict[str, Any]:
        """The keys that a network with weights from elsewhere depends on."""
        apart = {"dataset", "autoencoder", "weights", "snapshot_of", "training", "execution", "seed"}
        return {key: value for key, value in self.numerical().items() if key not in apart}

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """The checks that need the shape (C, H, W) of what it makes; ValueError begins with the key."""
