"""Config that all families of generators share: models that generate images without BRIGHT's key codes."""

from typing import Any

from pydantic import Field

from bright_pipeline.settings.execution import Execution
from bright_pipeline.settings.fields import Section, setting
from bright_pipeline.settings.weights import ImportedWeights, SnapshotOf, check_weights


class GeneratorTraining(Section):
    """Optimization. Families add their own keys."""

    batch: int = setting(64, "Images or codes per step, over all processes.", ge=1)


class GeneratorSettings(Section):
    """Keys of every family of generators (`bright_pipeline/families`)."""

    REFERENCES = ("dataset", "autoencoder")
    family: str = Field(description="A module of `bright_pipeline/families`, or the dotted name of your own module.")
    dataset: str | None = setting(None, "A name under `datasets`, for a family that is trained on images.")
    autoencoder: str | None = setting(None, "A name under `autoencoders`, for a family that is trained on codes.")
    weights: ImportedWeights = None
    snapshot_of: SnapshotOf = None
    training: GeneratorTraining = setting(GeneratorTraining(), "Optimization.")
    execution: Execution = setting(Execution(), "How the training runs.")
    seed: int = setting(0, "Added to the run's root seed.")

    def _check(self) -> None:
        self.execution.check_batch(self.training.batch, group=self.statistics_group)
        self.execution.check_without_images()
        check_weights(self, "generator")

    @property
    def statistics_group(self) -> int:
        """Images that share statistics in a training step: a micro-batch has whole groups."""
        return 1

    def architecture(self) -> dict[str, Any]:
        """The keys that determine the network: what imported weights depend on."""
        other = {"dataset", "autoencoder", "weights", "snapshot_of", "training", "execution", "seed"}
        return {key: value for key, value in self.numerical().items() if key not in other}

    def check_shape(self, shape: tuple[int, int, int]) -> None:
        """Checks that need the shape (C, H, W) of the samples. The message of a ValueError begins with the key."""
