"""The tables: of each its title, the columns that say what a row is, and its quantities.

This is the one place that names them all; published numbers are in config/published, under the table's name.
"""

from dataclasses import dataclass

from pipeline.base.errors import InputError
from pipeline.tables.quantities import (
    BYTES,
    CMMD,
    CODE_BITS,
    COUNTS,
    DECODING_SPEED,
    DISTANCE_RATIO,
    EFFICIENTNET,
    ENCODER,
    FD_DINOV2,
    FID,
    FID_CLEAN,
    GENERATION,
    INCEPTION_SCORE,
    KID,
    NOISE,
    RANGE,
    RECONSTRUCTION,
    RECONSTRUCTION_DISTANCE,
    SAMPLE_DISTANCE,
    TRAINING_SECONDS,
    USAGE,
    USED_SHARE,
    Quantity,
    unpublished,
)

HEADINGS = {
    "dataset": "Dataset",
    "method": "Method",
    "code_size": "Code size",
    "key_length": "C_key",
    "feature_size": "H_d, W_d",
    "train_images": "Train images",
    "samples": "Samples",
    "table_entries": "Entries of a table, at most",
    "variant": "Changed",
}


@dataclass(frozen=True)
class Layout:
    """A table: its title, the columns that say what a row is, and its quantities."""

    title: str
    identity: tuple[str, ...]
    quantities: tuple[Quantity, ...]
    samples: int | None = None  # images behind each published number, where the paper's caption says so
    tells_noise: bool = False  # whether a row's method says that it was trained with noise, too

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of summaries that the table is made of."""
        return frozenset(quantity.kind for quantity in self.quantities)

    @property
    def in_paper(self) -> bool:
        """Whether there are published numbers."""
        return any(quantity.is_published for quantity in self.quantities)


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
        tells_noise=True,
    ),
    "table5": Layout("Table 5. Generation, FFHQ", _SAMPLES, GENERATION, samples=50_000),
    "table6": Layout("Table 6. Generation, LSUN-Church", _SAMPLES, GENERATION, samples=50_000),
    "table7": Layout("Table 7. Length of a unit key, C_key", (*_IMAGES, "key_length"), (*RECONSTRUCTION, *COUNTS)),
    "table8": Layout(
        "Table 8. Size of the feature block, H_d and W_d", (*_IMAGES, "feature_size"), (*RECONSTRUCTION, *COUNTS)
    ),
    "text_10k": Layout(
        "Generation from 10,240 samples (section 4)",
        _SAMPLES,
        (FID, FID_CLEAN, INCEPTION_SCORE, FD_DINOV2, CMMD, KID, *EFFICIENTNET),
    ),
    "section34": Layout("Section 3.4 measured: codes and what they use", _IMAGES, (*USAGE, *RANGE, *NOISE)),
    "noise_generation": Layout(
        "Generation from codes trained with and without noise (section 3.4)", _SAMPLES, unpublished(GENERATION)
    ),
    "table_sizes": Layout(
        "Bytes against quality for sizes of the hash tables (section 5)",
        (*_IMAGES, "table_entries"),
        (*BYTES, USED_SHARE, *unpublished(RECONSTRUCTION)),
    ),
    "ablations": Layout(
        "Ablations: parts left out or made otherwise",
        (*_IMAGES, "variant"),
        (*unpublished(RECONSTRUCTION), CODE_BITS, *RECONSTRUCTION_DISTANCE, *SAMPLE_DISTANCE, *unpublished(COUNTS)),
    ),
    "latent_diffusion": Layout(
        "Latent diffusion on the codes of each autoencoder",
        _IMAGES,
        (*SAMPLE_DISTANCE, *RECONSTRUCTION_DISTANCE, *DISTANCE_RATIO),
    ),
    "equal_budget": Layout(
        "Autoencoders at equal budget",
        (*_IMAGES, "variant", "train_images"),
        (*unpublished(RECONSTRUCTION), CODE_BITS, *unpublished((ENCODER, *COUNTS)), DECODING_SPEED, TRAINING_SECONDS),
    ),
}


def layout_of(table: str) -> Layout:
    """The layout of a table; InputError where there is no such table."""
    if table not in LAYOUTS:
        raise InputError(f"settings: table: {table!r} is none of {', '.join(LAYOUTS)}, claims")
    return LAYOUTS[table]
