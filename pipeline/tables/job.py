"""What the table stage is told."""

from typing import Literal

from pydantic import Field

from pipeline.config.fields import Section

TableName = Literal["table2", "table3", "table4", "table5", "table6", "table7", "table8", "text_10k"]


class TableRow(Section):
    """A measured row: an autoencoder (Tables 2, 3, 4, 7, 8) or a sample set (Tables 5, 6, text)."""

    name: str = Field(description="The name under `autoencoders` or `samples` in the config.")
    label: str | None = Field(None, description="What stands under Method, if not the summary's own words.")
    dataset: str | None = Field(None, description="Needed where no summary of the row could be made.")
    code_size: str | None = Field(
        None, description="Code size behind a sample set; a difference needs it, where the summary lacks it."
    )


class TableJob(Section):
    """One table of a run."""

    table: TableName
    run: str = Field(description="The run's name, for the title.")
    rows: list[TableRow] = Field([], description="The measured rows, in their order.")
    missing: list[str] = Field([], description="Notes, `METRICS: what is missing: where to put it`.")
    provenance: dict[str, str] = Field({}, description="Names and digests of the results behind the rows.")
