"""The claims of the paper's text (config/published/claims.yaml), typed."""

from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from pipeline.base.parsing import parse_settings
from pipeline.base.yaml_files import read_yaml
from pipeline.settings.fields import Section

InSize = Literal["lower_by_percent", "higher_by_percent", "costs_percent_more", "costs_more"]
Relation = InSize | Literal["lower", "higher", "alike", "is", "at_most"]
WITHOUT_OTHER = ("is", "at_most")
WITHOUT_ASSERTED = ("lower", "higher")


class ClaimRow(Section):
    """A row of another table: the published one, and the like of it in a run on other images."""

    table: str
    method: str
    columns: dict[str, str] = Field({}, description="Further columns of the published row.")
    elsewhere: dict[str, str] = Field({}, description="Columns of a measured row on other images.")
    order: str = Field("", description="Else the row with the smallest (`-COLUMN`: largest) in this column.")


class Comparison(Section):
    """One number against another, or against what the text says."""

    says: str
    quantities: list[str] = Field(
        min_length=1, description="Added up; a row without a number in one but the first has zero there."
    )
    relation: Relation
    ours: str
    other: str | None = None
    asserted: float | None = None
    tolerance: float = Field(0, ge=0)

    @model_validator(mode="after")
    def _complete(self) -> "Comparison":
        if (self.other is None) != (self.relation in WITHOUT_OTHER):
            raise ValueError(f"other: {self.relation} takes {'none' if self.other else 'a row'}")
        if (self.asserted is None) != (self.relation in WITHOUT_ASSERTED):
            raise ValueError(f"asserted: {self.relation} takes {'a number' if self.asserted is None else 'none'}")
        return self


class Claim(Section):
    """A sentence of the paper, where it stands, and what would show it."""

    section: str
    sentence: str
    comparisons: list[Comparison] = Field(min_length=1)


class ClaimList(Section):
    """All claims, and the rows that they speak of."""

    rows: dict[str, ClaimRow]
    claims: list[Claim]

    @model_validator(mode="after")
    def _rows_known(self) -> "ClaimList":
        for claim in self.claims:
            for comparison in claim.comparisons:
                for name in (comparison.ours, comparison.other):
                    if name is not None and name not in self.rows:
                        raise ValueError(f"claims: {comparison.says!r}: {name!r} is not under `rows`")
        return self


def read_claims(folder: Path) -> ClaimList:
    """The claims in the folder of the published numbers."""
    path = folder / "claims.yaml"
    return parse_settings(ClaimList, read_yaml(path, f"claims {path}"), f"claims {path}")
