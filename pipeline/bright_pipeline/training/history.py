"""The numbers of a training, for people: the history, a csv that a resumed run continues, and accelerate's trackers."""

import csv
import io
from pathlib import Path
from typing import Any

from bright_pipeline.base.errors import InputError, extra_with
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.checksums import check

PROJECT = "bright"
# The argument of each tracker that names a training in a project.
RUN_NAME_KEYS = {"wandb": "name", "mlflow": "run_name", "trackio": "name", "swanlab": "experiment_name"}
FIRST_COLUMNS = ("step", "images", "seconds")


class History:
    """Rows of numbers, one per logged step; columns `step`, `images`, `seconds`, then the losses."""

    def __init__(self, path: Path, step: int):
        """Read `path`, up to `step`, the step from which the training resumes."""
        self.path = path
        self.rows: list[dict[str, float]] = []
        if path.exists():
            check(path)
            with path.open(newline="", encoding="utf-8") as file:
                rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
            self.rows = [row for row in rows if row["step"] <= step]

    @property
    def seconds(self) -> float:
        """Training time until the last row."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    def save(self, path: Path | None = None) -> None:
        """Write the csv, atomically."""
        # A loss that starts late has a column too, with empty cells before it starts.
        columns = dict.fromkeys([*FIRST_COLUMNS, *(key for row in self.rows for key in row)])
        text = io.StringIO()
        writer = csv.DictWriter(text, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: f"{value:.9g}" for key, value in row.items()} for row in self.rows)
        write_text(path or self.path, text.getvalue())


def make_trackers(names: tuple[str, ...], work: Path) -> list[Any] | None:
    """The `log_with` of accelerate for `execution.trackers`, with TensorBoard's files in the work folder.

    Raises InputError where a tracker's package is missing.
    """
    from accelerate.tracking import TensorBoardTracker, get_available_trackers

    available = {str(name) for name in get_available_trackers()}
    if missing := [name for name in names if name not in available]:
        packages = " ".join(extra_with(name) or name.replace("_", "-") for name in missing)
        remedy = f"pip install {packages}, or remove it from the list"
        raise InputError(f"execution.trackers: {', '.join(missing)} is not installed here: {remedy}")
    return [TensorBoardTracker("tensorboard", work) if name == "tensorboard" else name for name in names] or None
