"""Config of the evaluation protocol (appendix B) and of the figures."""

from typing import Literal, TypeAlias

from pydantic import Field

from bright_pipeline.settings.fields import Section, operational
from bright_pipeline.settings.spaces import NETWORKS, SPACES, PrecisionRecall, fewest_images

NetworkName: TypeAlias = Literal[*NETWORKS]  # type: ignore[valid-type]  # mypy has no literals of computed names
SpaceName: TypeAlias = Literal[*SPACES]  # type: ignore[valid-type]


class Neighbours(Section):
    """Nearest neighbours by LPIPS (Fig. 9)."""

    count: int = Field(64, ge=1, description="Number of generated images whose neighbours are searched.")
    neighbours: int = Field(5, ge=1, description="Neighbours of each image in the picture.")


class Decoding(Section):
    """Decoded images per second, measured in turns in one process."""

    batch: int = Field(8, ge=1, description="Images decoded at once.")
    rounds: int = Field(7, ge=1, description="Measurements of each model; the median is reported.")


class Evaluation(Section):
    """How sample sets are scored."""

    networks: list[NetworkName] = Field(
        [*NETWORKS],
        description="; ".join(f"{space.network}: {space.words}" for space in SPACES.values() if space.words)
        + ". A network without weights is reported as missing.",
    )
    precision_recall: PrecisionRecall = Field(
        "torch_fidelity",
        description="How precision and recall are computed. torch_fidelity: VGG16's fc2 after its ReLU, radii"
        " included; paper_repository: fc2 before its ReLU, Pillow's bilinear resize, radii excluded.",
    )
    reference: Literal["train", "validation"] = Field("train", description="The reference split.")
    reference_count: int | None = Field(None, ge=2, description="Reference images, the first ones; by default all.")
    neighbours: Neighbours = Field(Neighbours(), description="Nearest neighbours.")
    micro_batch: int = Field(64, ge=1, description="Images per batch of a network.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")
    shard: int = operational(10_000, "Images per job of feature extraction, the most that a killed job loses.", ge=1)
    noise_images: int = Field(256, ge=1, description="Validation images whose codes are perturbed (section 3.4).")
    decoding: Decoding = Field(Decoding(), description="How decoded images per second are measured.")
    memory_gb: float = operational(2.0, "Memory limit for the neighbours' embeddings and distances.", gt=0)

    def _check(self) -> None:
        if self.reference_count is not None and self.reference_count < self.fewest_images:
            raise ValueError(f"reference_count: must be at least {self.fewest_images} for the metrics of `networks`")

    @property
    def fewest_images(self) -> int:
        """The fewest images of a set from which all metrics of these networks can be computed."""
        return max((fewest_images(network) for network in self.networks), default=1)


class Figures(Section):
    """Models and samples that the figures show."""

    autoencoder: str | None = Field(None, description="Figures 1, 5b: by default the first row of Table 2.")
    samples: str | None = Field(None, description="Figures 1, 8, 9, 10: by default the first row of Table 5 or 6.")
    explorer: bool = Field(True, description="The key explorer in the page, for models with small tables.")
    compared: list[str] = Field([], description="Figure 6: by default the rows of Table 2.")
    rate_quality: list[str] = Field(
        [],
        description="Quality against bits per image and decoding time, a curve for each family over its code sizes:"
        " names under `autoencoders`, by default the rows of `equal_budget`. They are timed side by side.",
    )
    sample_quality: list[str] = Field(
        [],
        description="Distances of samples against PSNR, bits and the lengths of both trainings: names under `samples`,"
        " by default those of `latent_diffusion`. A curve joins samples of models that differ in these lengths alone.",
    )
