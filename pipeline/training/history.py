"""The training's history: a csv that a resumed run continues, and TensorBoard's curves."""

import csv
import io
from pathlib import Path

from pipeline.base.atomic import write_text
from pipeline.base.checksums import check

FIRST_COLUMNS = ("step", "images", "seconds")


class History:
    """Rows of numbers, one per logged step; columns `step`, `images`, `seconds`, then the losses."""

    def __init__(self, path: Path, step: int):
        """Read `path` and forget what came after `step`, the step that the state resumes from."""
        self.path = path
        self.rows: list[dict[str, float]] = []
        if path.exists():
            check(path)
            with path.open(newline="", encoding="utf-8") as file:
                rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
            self.rows = [row for row in rows if row["step"] <= step]

    @property
    def seconds(self) -> float:
        """Seconds trained until the last row."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    def add(self, row: dict[str, float]) -> None:
        self.rows.append(row)

    def save(self, path: Path | None = None) -> None:
        """Write the csv, atomically."""
        # A loss that starts late has a column all the same, empty before.
        columns = dict.fromkeys([*FIRST_COLUMNS, *(key for row in self.rows for key in row)])
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in self.rows)
        write_text(path or self.path, text.getvalue())
