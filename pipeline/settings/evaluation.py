"""Config of the evaluation protocol and of the tables and figures (appendix B)."""

from typing import Literal

from pydantic import Field

from pipeline.settings.fields import Section, operational

NetworkName = Literal["inception", "clip", "vgg16", "dinov2", "clip_l14_336", "efficientnet_lite0"]
SpaceName = Literal[
    "inception", "inception_clean", "clip", "vgg16", "vgg16_paper", "dinov2", "clip_l14_336", "efficientnet_lite0"
]
PrecisionRecall = Literal["torch_fidelity", "paper_repository"]


class Neighbours(Section):
    """Nearest neighbours by LPIPS (Fig. 9)."""

    count: int = Field(64, ge=1, description="How many generated images look for their neighbours.")
    neighbours: int = Field(5, ge=1, description="How many neighbours the picture shows.")


class Decoding(Section):
    """Decoded images per second: the models take turns in one process."""

    batch: int = Field(8, ge=1, description="Images decoded at once.")
    rounds: int = Field(7, ge=1, description="Turns of each model; the median counts.")


class Evaluation(Section):
    """How sample sets are scored."""

    networks: list[NetworkName] = Field(
        ["inception", "clip", "vgg16", "dinov2", "clip_l14_336", "efficientnet_lite0"],
        description="inception: FID, KID, IS; clip: CLIP-FID; vgg16: precision, recall, density, coverage; dinov2:"
        " FD-DINOv2; clip_l14_336: CMMD; efficientnet_lite0: metrics of the same kind, under its own name. One whose"
        " weights are missing is reported as missing.",
    )
    precision_recall: PrecisionRecall = Field(
        "torch_fidelity",
        description="How precision and recall are taken. torch_fidelity: VGG16's fc2 after its ReLU, radii"
        " included; paper_repository: fc2 before its ReLU, Pillow's bilinear resize, radii excluded.",
    )
    reference: Literal["train", "validation"] = Field("train", description="The reference split.")
    reference_count: int | None = Field(None, ge=2, description="Its first so many images; by default all.")
    neighbours: Neighbours = Field(Neighbours(), description="Nearest neighbours.")
    micro_batch: int = Field(64, ge=1, description="Images a network sees at once.")
    cpu_threads: int = Field(1, ge=1, description="Threads on a CPU.")
    shard: int = operational(10_000, "Images a job of feature extraction takes; a killed one loses no more.", ge=1)
    noise_images: int = Field(256, ge=1, description="Validation images whose codes are perturbed (section 3.4).")
    decoding: Decoding = Field(Decoding(), description="How decoded images per second are measured.")
    memory_gb: float = operational(2.0, "Most memory for the neighbours' embeddings and distances.", gt=0)


class GenerationRows(Section):
    """Rows of a table of generation metrics."""

    rows: list[str] = Field(default_factory=list, description="Names under `samples`.")
    count: int | None = Field(None, ge=2, description="Score the first so many images; by default all.")


class AutoencoderRows(Section):
    """Rows that are autoencoders, with samples of their codes."""

    autoencoders: list[str] = Field(
        default_factory=list,
        description="Names under `autoencoders`; `ablations` tells each by what it has otherwise than the first.",
    )
    samples: list[str] = Field(
        default_factory=list, description="Names under `samples`, at most one of each autoencoder's codes."
    )
    count: int | None = Field(None, ge=2, description="Score their first so many images; by default all.")


class Tables(Section):
    """Which measured rows each table has, beside the published ones."""

    table2: list[str] = Field(default_factory=list, description="Reconstruction: names under `autoencoders`.")
    table3: list[str] = Field(default_factory=list, description="Parameters and GFLOPs.")
    table4: list[str] = Field(default_factory=list, description="With and without noise.")
    table5: GenerationRows = Field(GenerationRows(), description="Generation on FFHQ: names under `samples`.")
    table6: GenerationRows = Field(GenerationRows(), description="Generation on LSUN-Church.")
    table7: list[str] = Field(default_factory=list, description="The length of a unit key.")
    table8: list[str] = Field(default_factory=list, description="The size of the feature block.")
    text_10k: GenerationRows = Field(GenerationRows(count=10_240), description="The 10,240-sample numbers of the text.")
    section34: list[str] = Field(
        default_factory=list,
        description="Section 3.4 measured: use of entries, range and variance of codes, reconstruction under noise.",
    )
    noise_generation: GenerationRows = Field(
        GenerationRows(), description="Diffusion on codes trained with and without noise: names under `samples`."
    )
    table_sizes: list[str] = Field(
        default_factory=list, description="Bytes against quality: entries that differ in `tables.entries_log2`."
    )
    equal_budget: list[str] = Field(
        default_factory=list, description="One dataset, the same number of training images: quality, counts, speed."
    )
    ablations: AutoencoderRows = Field(
        AutoencoderRows(),
        description="A model with a part left out or made otherwise: reconstruction, samples, counts.",
    )
    latent_diffusion: AutoencoderRows = Field(
        AutoencoderRows(),
        description="Distances of samples beside those of their autoencoder's own reconstructions, and over them: what"
        " of a distance is the decoder's.",
    )
    decoding: list[str] = Field(
        default_factory=list,
        description="Decoded images per second in Table 3, measured side by side (those of `equal_budget` always are).",
    )
    claims: bool = Field(
        False, description="Whether there is a table of what the paper's text asserts, recomputed from the others."
    )

    @property
    def sample_sets(self) -> list[str]:
        """The sample sets of all tables, once each."""
        found = [getattr(self, key) for key in type(self).model_fields]
        named = [one.rows for one in found if isinstance(one, GenerationRows)]
        named += [one.samples for one in found if isinstance(one, AutoencoderRows)]
        return list(dict.fromkeys(name for names in named for name in names))


class Figures(Section):
    """What the figures show."""

    autoencoder: str | None = Field(None, description="Figures 1, 5b: by default the first row of Table 2.")
    samples: str | None = Field(None, description="Figures 1, 8, 9, 10: by default the first row of Table 5 or 6.")
    compared: list[str] = Field(default_factory=list, description="Figure 6: by default the rows of Table 2.")
    rate_quality: list[str] = Field(
        default_factory=list,
        description="Quality against bits per image and decoding time, a curve for each family over its code sizes:"
        " names under `autoencoders`, by default the rows of `equal_budget`. They are timed side by side.",
    )
