"""Stage: convert a raw collection to two archives of square PNGs, for training and validation (section 4)."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.progress import activity
from bright_pipeline.data.fingerprint import check_as_planned
from bright_pipeline.data.prepare import outcome, prepare
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.stages.datasets import DatasetJob


@stage
def prepare_dataset(
    job: DatasetJob,
    train: Annotated[Path, typer.Option(help="The archive of training images to write (a zip of PNGs).")],
    validation: Annotated[Path, typer.Option(help="The archive of validation images to write (a zip of PNGs).")],
    manifest: Annotated[Path, typer.Option(help="The file of counts, hashes, settings and skipped files (json).")],
    workers: Annotated[int | None, typer.Option(min=1, help="Decoding processes; by default one per CPU.")] = None,
) -> None:
    where = f"datasets.{job.name}"

    def check_read() -> None:
        check_as_planned(job.sha256, job.source, f"{where}.source")
        if job.split.list is not None:
            check_as_planned(job.list_sha256, job.split.list, f"{where}.split.list")

    written = prepare(job, train, validation, workers or os.cpu_count() or 1, where, check_read)
    write_json(manifest, written)
    if activity.log is not None:  # without a log, the terminal has the line
        print(f"{where}: {outcome(written)}: {activity.log}", file=sys.stderr)
