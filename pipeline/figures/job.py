"""What the figure stage is told."""

from typing import Literal

from pydantic import Field

from pipeline.config.fields import Section

FigureName = Literal["fig01", "fig05b", "fig06", "fig08", "fig10", "curves"]


class FigureJob(Section):
    """One figure of a run."""

    figure: FigureName
    title: str = Field("", description="What stands above the figure.")
    columns: int | None = Field(
        None, ge=1, description="Images (or panels) beside each other; by default as the figure needs."
    )
    rows: int | None = Field(None, ge=1, description="Rows of samples (fig08, fig10); by default 2 and 8.")
