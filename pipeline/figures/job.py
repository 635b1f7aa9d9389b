"""What the figure stage is told."""

from typing import Literal

from pydantic import Field

from pipeline.config.fields import Section

FigureName = Literal[
    "fig01",
    "fig05b",
    "fig06",
    "fig07",
    "fig08",
    "fig09",
    "fig10",
    "fig11",
    "fig12",
    "fig13",
    "fig14",
    "curves",
    "interpolation",
    "resolutions",
    "groups",
    "noise_robustness",
    "code_range",
    "table_size",
]


class FigureJob(Section):
    """One figure of a run."""

    figure: FigureName
    title: str = Field("", description="What stands above the figure.")
    columns: int | None = Field(
        None, ge=1, description="Images (or panels) beside each other; by default as the figure needs."
    )
    rows: int | None = Field(None, ge=1, description="Rows of images; by default as the figure needs.")
