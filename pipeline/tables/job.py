"""What the table stage is told."""

from pydantic import Field

from pipeline.config.fields import Section


class TableRow(Section):
    """A measured row: an autoencoder (Tables 2, 3, 4, 7, 8) or a sample set (Tables 5, 6, text)."""

    name: str = Field(description="The name under `autoencoders` or `samples` in the config.")
    dataset: str = Field(description="The name under `datasets` in the config; a difference needs the paper's.")
    label: str | None = Field(None, description="What stands under Method, if not the summary's own words.")
    code_size: str | None = Field(
        None, description="Code size behind a sample set; a difference needs it, where the summary lacks it."
    )
    resolution: int | None = Field(
        None, description="Of the dataset's images; a difference needs it, where the summary lacks it."
    )
    prepared: str | None = Field(
        None, description="How the images got their size, `CROP, FILTER, to RESOLUTION`; likewise."
    )


class Provenance(Section):
    """What the numbers were made from, besides the summaries themselves."""

    seed: int | None = Field(None, description="The root seed; counts have none.")
    code: dict[str, str] = Field(description="The digest of the code of each stage behind the table.")
    data: dict[str, str] = Field(description="The sha256 of each raw collection, by the dataset's name.")
    weights: dict[str, list[str]] = Field(
        {}, description="The folders of the trained models behind each row (or `ROW#SEED`)."
    )


class TableJob(Section):
    """One table of a run."""

    table: str = Field(description="A name in `pipeline.tables.layout.LAYOUTS`, or `claims`.")
    rows: list[TableRow] = Field([], description="The measured rows, in their order.")
    counted: list[TableRow] = Field(
        [], description="Autoencoders without a row: their counts stand beside the published ones that they match."
    )
    training_seeds: list[int] = Field(
        [0],
        description="Summaries named `ROW` are of the first training seed, those named `ROW#SEED` of a further one.",
    )
    missing: list[str] = Field([], description="Notes, `METRICS: what is missing: where to put it`.")
    provenance: Provenance | None = Field(None, description="What the numbers were made from.")

    @property
    def seeded(self) -> bool:
        """Whether rows have several training seeds."""
        return len(self.training_seeds) > 1
