"""Readers of built tables."""

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bright_pipeline.tables.build import BuiltTable
from bright_pipeline.tables.render import to_csv

Built = Callable[..., BuiltTable]
"""The fixture `built`: a table from made-up summaries."""
PUBLISHED_FOLDER = Path(__file__).parents[2] / "pipeline" / "bright_pipeline" / "tables" / "published"
# The traits that models of other families lack.
NO_KEYS: dict[str, Any] = dict.fromkeys(("key_length", "feature_size", "code_noise"))


def csv_rows(table: BuiltTable) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(table))))


def row_named(table: BuiltTable, name: str) -> dict[str, str]:
    [row] = [row for row in csv_rows(table) if row["name"] == name]
    return row


def differences(row: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in row.items() if key.endswith("_difference") and value}


def published_csv(table: str) -> list[dict[str, str]]:
    with (PUBLISHED_FOLDER / f"{table}.csv").open(newline="") as file:
        return list(csv.DictReader(file))
