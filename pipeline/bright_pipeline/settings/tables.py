"""The tables: an entry for each, with its key in a config, title, caption, rows and columns.

The kinds of a table's quantities decide which stages a run needs for it (`stages/tables.py`). The published numbers of
a table are in tables/published, in a csv of its name.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from bright_pipeline.settings import quantities as q
from bright_pipeline.settings.fields import Section

HEADINGS = {
    "dataset": "Dataset",
    "method": "Method",
    "code_size": "Code size",
    "key_length": "C_key",
    "feature_size": "H_d, W_d",
    "train_images": "Training images",
    "samples": "Samples",
    "table_entries": "Entries of a table, at most",
    "variant": "Changed",
}
"""The columns that identify a row, by key."""


@dataclass(frozen=True)
class Table:
    """A table: title, caption, the columns that identify a row, and its quantities."""

    title: str
    caption: str
    identity: tuple[str, ...]
    quantities: tuple[q.Quantity, ...]
    samples: int | None = None  # images behind each published number, where the paper's caption states it
    shows_noise: bool = False  # whether a row's method also says that it was trained with noise
    baseline: Literal["first", "first of the same method"] | None = None
    """The row from which the column `Changed` counts changed keys: the first, or the first with the same identity."""

    @property
    def kinds(self) -> tuple[q.Kind, ...]:
        """The kinds of summaries that the table needs, each once."""
        return tuple(dict.fromkeys(quantity.kind for quantity in self.quantities))

    @property
    def in_paper(self) -> bool:
        """Whether there are published numbers."""
        return any(quantity.is_published for quantity in self.quantities)

    @property
    def of_samples(self) -> bool:
        """Whether the rows are sample sets; autoencoders otherwise."""
        return self.kinds == (q.GENERATED,)


class GenerationRows(Section):
    """Rows of a table of generation metrics."""

    rows: list[str] = Field([], description="Names under `samples`.")
    count: int | None = Field(None, ge=2, description="Number of images to score, the first ones; by default all.")


class AutoencoderRows(Section):
    """Rows that are autoencoders, with samples of their codes."""

    autoencoders: list[str] = Field(
        [], description="Names under `autoencoders`; `ablations` shows for each the keys that differ from the first."
    )
    samples: list[str] = Field([], description="Names under `samples`, at most one per autoencoder.")
    count: int | None = Field(None, ge=2, description="Images to score of each set, the first ones; by default all.")


_IMAGES = ("dataset", "method", "code_size")
_SAMPLES = ("dataset", "method", "samples")


def _table(title: str, *columns: Any, rows: str = "", caption: str = "", default: Any = None, **rest: Any) -> Any:
    """A key with a table's rows, which `rows` describes; the other arguments are those of `Table`.

    Where its title says enough, there is neither a description nor a caption.
    """
    table = Table(title, caption or f"{title}.", *columns, **rest)
    empty: Any = GenerationRows() if table.of_samples else []
    field: Any = Field(default or empty, description=rows or f"{title}.")
    field.metadata.append(table)
    return field


class Tables(Section):
    """The measured rows of each table, beside the published ones."""

    table2: list[str] = _table(
        "Table 2. Reconstruction of validation images",
        (*_IMAGES, "train_images"),
        (*q.RECONSTRUCTION, *q.RECONSTRUCTION_DISTANCE),
        rows="Reconstruction: names under `autoencoders`.",
    )
    table3: list[str] = _table(
        "Table 3. Parameters and cost of decoding", _IMAGES, (*q.COUNTS, q.ENCODER, q.DECODING_SPEED)
    )
    table4: list[str] = _table(
        "Table 4. Reconstruction with and without noise on the key codes",
        (*_IMAGES, "train_images"),
        q.RECONSTRUCTION,
        shows_noise=True,
    )
    table5: GenerationRows = _table(
        "Table 5. Generation, FFHQ",
        _SAMPLES,
        q.GENERATION,
        samples=50_000,
        rows="Generation on FFHQ: names under `samples`.",
    )
    table6: GenerationRows = _table("Table 6. Generation, LSUN-Church", _SAMPLES, q.GENERATION, samples=50_000)
    table7: list[str] = _table(
        "Table 7. Length of a unit key, C_key", (*_IMAGES, "key_length", "train_images"), (*q.RECONSTRUCTION, *q.COUNTS)
    )
    table8: list[str] = _table(
        "Table 8. Size of the feature block, H_d and W_d",
        (*_IMAGES, "feature_size", "train_images"),
        (*q.RECONSTRUCTION, *q.COUNTS),
    )
    text_10k: GenerationRows = _table(
        "Generation from 10,240 samples (section 4)",
        _SAMPLES,
        (q.FID, q.FID_CLEAN, q.INCEPTION_SCORE, q.FD_DINOV2, q.CMMD, q.KID, *q.LABELLED),
        default=GenerationRows(count=10_240),
    )
    section34: list[str] = _table(
        "Section 3.4, measured: use, range and noise tolerance of codes",
        _IMAGES,
        (*q.USAGE, *q.RANGE, *q.SPECTRUM, *q.NOISE),
    )
    noise_generation: GenerationRows = _table(
        "Generation from codes trained with and without noise (section 3.4)",
        _SAMPLES,
        q.unpublished(q.GENERATION),
        shows_noise=True,
        rows="Diffusion on codes trained with and without noise: names under `samples`.",
    )
    table_sizes: list[str] = _table(
        "Bytes against quality for sizes of the hash tables (section 5)",
        (*_IMAGES, "table_entries"),
        (*q.BYTES, q.CODE_BITS, q.USED_SHARE, *q.unpublished(q.RECONSTRUCTION)),
        rows="Bytes against quality: entries that differ in `tables.entries_log2`.",
    )
    collection_sizes: list[str] = _table(
        "Training images and others, by the size of the tables",
        (*_IMAGES, "table_entries", "variant"),
        (*q.MEMORY, *q.unpublished(q.COUNTS[:1])),
        baseline="first",
        rows="Training images against others: entries that differ in tables and in training images.",
    )
    rates: list[str] = _table(
        "Bits of an image: codes and image files of equal quality",
        (*_IMAGES, "variant"),
        q.CODED,
        baseline="first of the same method",
    )
    bits_of_numbers: list[str] = _table(
        "Quality by the bits of a number of a code (section 3.4)",
        (*_IMAGES, "variant"),
        q.BY_BITS,
        baseline="first of the same method",
    )
    new_images: list[str] = _table(
        "New images and exchanged parts of codes",
        (*_IMAGES, "variant"),
        (*q.ADDED, *q.EXCHANGED),
        baseline="first of the same method",
    )
    ablations: AutoencoderRows = _table(
        "Ablations: parts of the model removed or changed",
        (*_IMAGES, "variant"),
        (
            *(*q.unpublished(q.RECONSTRUCTION), q.CODE_BITS, *q.RECONSTRUCTION_DISTANCE),
            *(*q.SAMPLE_DISTANCE, *q.unpublished(q.COUNTS)),
        ),
        baseline="first",
        default=AutoencoderRows(),
        caption="The effect of removing or changing one part of the model. `Changed` names the part or its config keys;"
        " other settings are those of the first row. Distances are of samples from codes of the same model.",
        rows="Models with a part removed or changed: reconstruction, samples, counts.",
    )
    latent_diffusion: AutoencoderRows = _table(
        "Latent diffusion on the codes of each autoencoder",
        (*_IMAGES, "variant"),
        (
            *(*q.SAMPLE_DISTANCE, *q.RECONSTRUCTION_DISTANCE, *q.DISTANCE_RATIO),
            *(*q.unpublished(q.RECONSTRUCTION), q.CODE_BITS),
        ),
        baseline="first of the same method",
        default=AutoencoderRows(),
        caption="Latent diffusion on the codes of each autoencoder: distances of samples and of reconstructions to the"
        " same images, and their ratio. Lower is better; at a ratio of 1 the decoder explains the whole distance.",
        rows="Distances of samples and of reconstructions, their ratio, reconstruction and bits.",
    )
    equal_budget: list[str] = _table(
        "Autoencoders at equal budget",
        (*_IMAGES, "variant", "train_images"),
        (
            *(*q.unpublished(q.RECONSTRUCTION), q.CODE_BITS, *q.unpublished((q.ENCODER, *q.COUNTS))),
            *(q.DECODING_SPEED, q.TRAINING_SECONDS),
        ),
        baseline="first of the same method",
        rows="One dataset, the same number of training images: quality, counts, speed.",
    )
    authors_protocol: list[str] = _table(
        "Two protocols of reconstruction",
        (*_IMAGES, "train_images"),
        (*q.unpublished((q.LPIPS, q.SSIM, q.PSNR)), *q.BY_AUTHORS),
        caption="Reconstruction by two protocols. This project measures images of 8 bits, without noise on the codes."
        " The authors' code measures unclipped floats with training's noise on the codes, and takes the range of PSNR"
        " and SSIM from each image.",
        rows="Reconstruction by this project's protocol and by that of the authors' code.",
    )
    decoding: list[str] = Field(
        [], description="Rows of Table 3 whose decoding speed is measured, as that of `equal_budget` is."
    )
    claims: bool = Field(False, description="A table of the assertions in the paper's text, recomputed.")

    @property
    def sample_sets(self) -> list[str]:
        sections = [getattr(self, key) for key in type(self).model_fields]
        names = [name for section in sections if isinstance(section, GenerationRows) for name in section.rows]
        names += [name for section in sections if isinstance(section, AutoencoderRows) for name in section.samples]
        return list(dict.fromkeys(names))

    def rows_of(self, table: str) -> list[str]:
        """The names of a table's rows, under `samples` or `autoencoders`."""
        match getattr(self, table):
            case GenerationRows(rows=rows) | AutoencoderRows(autoencoders=rows) | rows:
                return list(rows)


TABLES = {key: mark for key, field in Tables.model_fields.items() for mark in field.metadata if isinstance(mark, Table)}
