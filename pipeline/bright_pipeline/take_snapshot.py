"""Stage: copy intermediate weights that a training stored next to its saved states."""

import shutil
from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.engine.checksums import check
from bright_pipeline.stages.autoencoders import SnapshotJob, missing_snapshot


@stage
def take_snapshot(
    job: SnapshotJob,
    training: Annotated[Path, typer.Option(help="The final weights of the training, which must be done.")],
    weights: Annotated[Path, typer.Option(help="Where the snapshot goes (safetensors).")],
) -> None:
    if not job.snapshot.exists():
        raise InputError(missing_snapshot(job.snapshot))
    check(job.snapshot)
    with atomic_path(weights) as temporary:
        shutil.copyfile(job.snapshot, temporary)
