"""Which columns each table has, and what a measured row must equal to stand beside a published one."""

from dataclasses import dataclass
from typing import Any

from pipeline.tables.beyond import (
    BYTES,
    DECODING_SPEED,
    NOISE,
    RANGE,
    TRAINING_SECONDS,
    USAGE,
    USED_SHARE,
    unpublished,
)
from pipeline.tables.quantities import (
    COUNTS,
    EFFICIENTNET,
    ENCODER,
    FID,
    FID_CLEAN,
    GENERATION,
    INCEPTION_SCORE,
    RECONSTRUCTION,
    RECONSTRUCTION_DISTANCE,
    Quantity,
)

PAPER_DATASETS = ("ffhq256", "lsun_church256")
# The splits behind the published numbers: VQGAN's lists of FFHQ, LSUN's own of Church.
VALIDATION_IMAGES = {"ffhq256": 10_000, "lsun_church256": 300}
REFERENCE_IMAGES = {"ffhq256": 60_000, "lsun_church256": 126_227}
# Diffusion runs on key codes of this size (section 4).
GENERATION_CODE_SIZE = "64x64x4"

HEADINGS = {
    "source": "Source",
    "dataset": "Dataset",
    "method": "Method",
    "code_size": "Code size",
    "key_length": "C_key",
    "feature_size": "H_d, W_d",
    "train_images": "Train images",
    "samples": "Samples",
    "table_entries": "Entries of a table, at most",
}


@dataclass(frozen=True)
class Layout:
    """A table: its title, the columns that say what a row is, and its quantities."""

    title: str
    identity: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    samples: int | None = None  # images behind each published number, where the paper's caption says so
    in_paper: bool = True  # whether there are published numbers

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of summaries that the table is made of."""
        return frozenset(quantity.kind for quantity in self.quantities)


_IMAGES = ("dataset", "method", "code_size")
_SAMPLES = ("dataset", "method", "samples")

LAYOUTS = {
    "table2": Layout(
        "Table 2. Reconstruction of validation images", _IMAGES, (*RECONSTRUCTION, *RECONSTRUCTION_DISTANCE)
    ),
    "table3": Layout("Table 3. Parameters and cost of decoding", _IMAGES, (*COUNTS, ENCODER, DECODING_SPEED)),
    "table4": Layout(
        "Table 4. Reconstruction with and without noise on the key codes",
        (*_IMAGES, "train_images"),
        RECONSTRUCTION,
    ),
    "table5": Layout("Table 5. Generation, FFHQ", _SAMPLES, GENERATION, samples=50_000),
    "table6": Layout("Table 6. Generation, LSUN-Church", _SAMPLES, GENERATION, samples=50_000),
    "table7": Layout("Table 7. Length of a unit key, C_key", (*_IMAGES, "key_length"), (*RECONSTRUCTION, *COUNTS)),
    "table8": Layout(
        "Table 8. Size of the feature block, H_d and W_d",
        (*_IMAGES, "feature_size"),
        (*RECONSTRUCTION, *COUNTS),
    ),
    "text_10k": Layout(
        "Generation from 10,240 samples (section 4)", _SAMPLES, (FID, FID_CLEAN, INCEPTION_SCORE, *EFFICIENTNET)
    ),
    "section34": Layout(
        "Section 3.4 measured: codes and what they use",
        _IMAGES,
        (*USAGE, *RANGE, *NOISE),
        in_paper=False,
    ),
    "noise_generation": Layout(
        "Generation from codes trained with and without noise (section 3.4)",
        _SAMPLES,
        unpublished(GENERATION),
        in_paper=False,
    ),
    "table_sizes": Layout(
        "Bytes against quality for sizes of the hash tables (section 5)",
        (*_IMAGES, "table_entries"),
        (*BYTES, USED_SHARE, *unpublished(RECONSTRUCTION)),
        in_paper=False,
    ),
    "equal_budget": Layout(
        "Autoencoders at equal budget",
        (*_IMAGES, "train_images"),
        (
            *unpublished(RECONSTRUCTION),
            *unpublished((ENCODER, *COUNTS)),
            DECODING_SPEED,
            TRAINING_SECONDS,
        ),
        in_paper=False,
    ),
}


def expected_traits(row: dict[str, str], kind: str) -> dict[str, tuple[Any, ...]]:
    """What a measurement's traits of one kind must be for its numbers to stand in a published row."""
    bright = row["method"].startswith("BRIGHT")
    dataset = row.get("dataset", "")
    traits: dict[str, tuple[Any, ...]] = {"dataset": (dataset,) if dataset else PAPER_DATASETS}
    if kind == "generation":
        if bright:
            traits |= {"sample_kind": ("diffusion",), "method": ("BRIGHT (LDM)", "BRIGHT")}
            return traits | {"code_size": (GENERATION_CODE_SIZE,)}
        return traits | {"method": (row["method"],)}
    traits |= {"method": ("BRIGHT" if bright else row["method"],), "code_size": (row["code_size"],)}
    if bright:
        traits["key_length"] = (int(row.get("key_length", "1")),)
        traits["feature_size"] = (int(row.get("feature_size", "64")),)
    if kind == "reconstruction":
        if bright:
            traits["code_noise"] = ("none",) if "without noise" in row["method"] else ("after_tiling",)
        if "train_images" in row:
            traits["train_images"] = (int(row["train_images"]),)
    return traits


def expected_protocol(row: dict[str, str], layout: Layout, quantity: Quantity) -> dict[str, Any]:
    """What the protocol of a measured value must say for a difference from the published one."""
    if quantity.kind not in ("reconstruction", "generation"):
        return {}
    dataset = row["dataset"]
    if quantity.kind == "reconstruction":
        return {"count": VALIDATION_IMAGES.get(dataset)}
    samples = row.get("samples") or layout.samples
    expected: dict[str, Any] = {"count": int(samples) if samples else None}
    if quantity.reference:
        expected["reference_count"] = REFERENCE_IMAGES.get(dataset)
    return expected
