"""The tables: an entry for each, with its key in a config, rows and columns. tables.yaml has titles and captions.

The kinds of a table's quantities decide which stages a run needs for it (`stages/tables.py`). The published numbers of
a table are in tables/published, in a csv of its name.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from bright_pipeline.base.yaml_files import read_yaml
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


_TEXTS = read_yaml(Path(__file__).with_name("tables.yaml"), "tables.yaml")
_IMAGES = ("dataset", "method", "code_size")
_SAMPLES = ("dataset", "method", "samples")


def _table(key: str, *columns: Any, default: Any = None, **rest: Any) -> Any:
    """The key of a table with its rows, whose texts are in tables.yaml; the other arguments are those of `Table`.

    Where its title says enough, there is neither a description nor a caption.
    """
    texts = _TEXTS[key]
    table = Table(texts["title"], texts.get("caption", f"{texts['title']}."), *columns, **rest)
    empty: Any = GenerationRows() if table.of_samples else []
    field: Any = Field(default or empty, description=texts.get("rows", f"{texts['title']}."))
    field.metadata.append(table)
    return field


class Tables(Section):
    """The measured rows of each table, beside the published ones."""

    table2: list[str] = _table("table2", (*_IMAGES, "train_images"), (*q.RECONSTRUCTION, *q.RECONSTRUCTION_DISTANCE))
    table3: list[str] = _table("table3", _IMAGES, (*q.COUNTS, q.ENCODER, q.DECODING_SPEED))
    table4: list[str] = _table("table4", (*_IMAGES, "train_images"), q.RECONSTRUCTION, shows_noise=True)
    table5: GenerationRows = _table("table5", _SAMPLES, q.GENERATION, samples=50_000)
    table6: GenerationRows = _table("table6", _SAMPLES, q.GENERATION, samples=50_000)
    table7: list[str] = _table("table7", (*_IMAGES, "key_length", "train_images"), (*q.RECONSTRUCTION, *q.COUNTS))
    table8: list[str] = _table("table8", (*_IMAGES, "feature_size", "train_images"), (*q.RECONSTRUCTION, *q.COUNTS))
    text_10k: GenerationRows = _table(
        "text_10k",
        _SAMPLES,
        (q.FID, q.FID_CLEAN, q.INCEPTION_SCORE, q.FD_DINOV2, q.CMMD, q.KID, *q.LABELLED),
        default=GenerationRows(count=10_240),
    )
    section34: list[str] = _table("section34", _IMAGES, (*q.USAGE, *q.RANGE, *q.SPECTRUM, *q.NOISE))
    noise_generation: GenerationRows = _table(
        "noise_generation", _SAMPLES, q.unpublished(q.GENERATION), shows_noise=True
    )
    table_sizes: list[str] = _table(
        "table_sizes",
        (*_IMAGES, "table_entries"),
        (*q.BYTES, q.CODE_BITS, q.USED_SHARE, *q.unpublished(q.RECONSTRUCTION)),
    )
    collection_sizes: list[str] = _table(
        "collection_sizes",
        (*_IMAGES, "table_entries", "variant"),
        (*q.MEMORY, *q.unpublished(q.COUNTS[:1])),
        baseline="first",
    )
    rates: list[str] = _table("rates", (*_IMAGES, "variant"), q.CODED, baseline="first of the same method")
    bits_of_numbers: list[str] = _table(
        "bits_of_numbers", (*_IMAGES, "variant"), q.BY_BITS, baseline="first of the same method"
    )
    new_images: list[str] = _table(
        "new_images", (*_IMAGES, "variant"), (*q.ADDED, *q.EXCHANGED), baseline="first of the same method"
    )
    ablations: AutoencoderRows = _table(
        "ablations",
        (*_IMAGES, "variant"),
        (
            *(*q.unpublished(q.RECONSTRUCTION), q.CODE_BITS, *q.RECONSTRUCTION_DISTANCE),
            *(*q.SAMPLE_DISTANCE, *q.unpublished(q.COUNTS)),
        ),
        baseline="first",
        default=AutoencoderRows(),
    )
    latent_diffusion: AutoencoderRows = _table(
        "latent_diffusion",
        (*_IMAGES, "variant"),
        (
            *(*q.SAMPLE_DISTANCE, *q.RECONSTRUCTION_DISTANCE, *q.DISTANCE_RATIO),
            *(*q.unpublished(q.RECONSTRUCTION), q.CODE_BITS),
        ),
        baseline="first of the same method",
        default=AutoencoderRows(),
    )
    equal_budget: list[str] = _table(
        "equal_budget",
        (*_IMAGES, "variant", "train_images"),
        (
            *(*q.unpublished(q.RECONSTRUCTION), q.CODE_BITS, *q.unpublished((q.ENCODER, *q.COUNTS))),
            *(q.DECODING_SPEED, q.TRAINING_SECONDS),
        ),
        baseline="first of the same method",
    )
    authors_protocol: list[str] = _table(
        "authors_protocol", (*_IMAGES, "train_images"), (*q.unpublished((q.LPIPS, q.SSIM, q.PSNR)), *q.BY_AUTHORS)
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
