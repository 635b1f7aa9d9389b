"""The paper's own numbers, as printed: strings from start to end, so that no decimal is lost or invented."""

from pathlib import Path

import pandas as pd

from pipeline.base.errors import InputError
from pipeline.tables.layout import LAYOUTS

AS_PUBLISHED = "as published"


def read_published(folder: Path, table: str) -> pd.DataFrame:
    """The csv of a table with every cell a string, an empty one where the paper prints nothing.

    A table that the paper does not have has no rows.
    """
    if not LAYOUTS[table].in_paper:
        return pd.DataFrame()
    path = folder / f"{table}.csv"
    if not path.is_file():
        raise InputError(f"published numbers of {table}: {path} is missing; --published names their folder")
    return pd.read_csv(path, dtype=str, keep_default_na=False).astype(object)


def decimals_of(printed: str) -> int:
    """Digits behind the point: 2 for 22.30."""
    return len(printed.partition(".")[2])


def column_decimals(published: pd.DataFrame, column: str | None) -> int | None:
    """The most decimals that the paper prints in a column; None where it prints no number there."""
    if column is None or column not in published:
        return None
    return max((decimals_of(printed) for printed in published[column] if printed), default=None)
