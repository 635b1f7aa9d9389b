"""What the evaluation stages are told, as one JSON argument each."""

from typing import Literal

from pydantic import Field

from pipeline.config.evaluation import SpaceName
from pipeline.config.fields import Section, operational


class ExtractionJob(Section):
    """Features of an image set in one feature space."""

    space: SpaceName = Field(description="The feature space.")
    micro_batch: int = Field(64, ge=1, description="Images the network sees at once, the last batch padded.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")


class EvaluationJob(Section):
    """Metrics of one image set against a reference set, in one feature space."""

    kind: Literal["generation", "reconstruction_distance"] = Field(
        "generation", description="All metrics of the space, or the Fréchet distance of reconstructions (rFID)."
    )
    samples: str = Field("", description="The name of the image set, where one config has it.")
    sample_kind: Literal["diffusion", "gaussian_codes", "generator", "real", "files", "reconstruction"] = Field(
        description="How the images were made."
    )
    dataset: str = Field(description="A name under `datasets`.")
    method: str = Field(description="The name of the row, such as BRIGHT (LDM).")
    space: SpaceName = Field(description="The space of the features.")
    reference: str = Field(description="The split of the reference images.")
    prepared: str = Field("as they are", description="How the reference images got their size: crop and filter.")
    count: int | None = Field(None, ge=2, description="Score the first so many images; by default all.")
    reference_count: int | None = Field(None, ge=2, description="How many reference images there must be.")
    code_size: str | None = Field(None, description="Of the key codes that the images were decoded from.")
    seed: int = Field(0, description="The seed of the image set, for the record.")
    memory_gb: float = operational(2.0, "Most memory for the distances of precision and recall.", gt=0)
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")


class NeighboursJob(Section):
    """Nearest training images by LPIPS (Fig. 9)."""

    samples: str = Field("", description="The name of the image set, where one config has it.")
    dataset: str = Field("", description="A name under `datasets`.")
    method: str = Field("", description="The name of the row, such as BRIGHT (LDM).")
    count: int = Field(64, ge=1, description="How many generated images look for their neighbours.")
    validation_count: int | None = Field(None, ge=1, description="How many validation images; by default all.")
    neighbours: int = Field(5, ge=1, description="How many neighbours each image has in table and picture.")
    micro_batch: int = Field(64, ge=1, description="Images the network sees at once, the last batch padded.")
    memory_gb: float = operational(2.0, "Most memory for embeddings and distances.", gt=0)
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")
