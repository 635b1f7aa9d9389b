"""What a stage is told: its part of the config and its seed, as one JSON argument."""

from typing import Literal

from pydantic import Field

from pipeline.config.diffusion import Diffusion, Samples
from pipeline.config.families import AnyAutoencoder, AnyGenerator
from pipeline.config.fields import Section


class AutoencoderJob(Section):
    """Train an autoencoder."""

    autoencoder: AnyAutoencoder
    seed: int = 0


class DiffusionJob(Section):
    """Train a diffusion model."""

    diffusion: Diffusion
    seed: int = 0


class GeneratorJob(Section):
    """Train a generator."""

    generator: AnyGenerator
    seed: int = 0


class EncodingJob(Section):
    """Encode or reconstruct a split with a trained autoencoder."""

    micro_batch: int = Field(64, ge=1)
    cpu_threads: int = Field(1, ge=1)


class GenerationJob(Section):
    """Make the images [first, last) of a sample set."""

    samples: Samples
    seed: int = 0
    resolution: int | None = Field(None, description="Of the dataset that files imitate: theirs must be the same.")
    channels: Literal[1, 3] = Field(3, description="Of that dataset: files are read as gray (1) or RGB (3).")


class ReconstructionJob(EncodingJob):
    """Reconstruct the validation split; the autoencoder's config is for the summary."""

    autoencoder: AnyAutoencoder


class CodeMeasurementJob(ReconstructionJob):
    """Measure the codes of an autoencoder (section 3.4)."""

    images: int = Field(256, ge=1, description="Validation images whose codes are perturbed.")
    seed: int = 0


class DecodedModel(Section):
    """An autoencoder for images of this size."""

    autoencoder: AnyAutoencoder
    resolution: int
    channels: int


class DecodingJob(Section):
    """Decode with several autoencoders in turns."""

    models: dict[str, DecodedModel]
    batch: int = Field(8, ge=1)
    rounds: int = Field(7, ge=1)
    cpu_threads: int = Field(1, ge=1)


class ExplorationJob(Section):
    """Show what key codes and hash tables hold, on the first validation images."""

    rows: int = Field(6, ge=1, description="Images, and pairs of images to interpolate between.")
    steps: int = Field(9, ge=2, description="Images from one of a pair to the other, both ends included.")
    cpu_threads: int = Field(1, ge=1)
