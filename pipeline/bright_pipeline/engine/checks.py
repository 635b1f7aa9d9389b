"""What would stop a run, or cost it days, found before its first job starts."""

import csv
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bright_pipeline.base.errors import InputError
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.run import Needed


def problems(needed: Needed) -> list[str]:
    """A line for each problem that would stop a job, as its stage says."""
    return sorted({line for job in needed.jobs for line in job.stage.problems(job, needed)})


def saved_step(job: Job) -> int:
    """Steps in a training's saved state; its history is saved together with it."""
    path, errors = job.work / "history.csv", (OSError, ValueError, KeyError, IndexError)
    with suppress(*errors), path.open(newline="", encoding="utf-8") as file:
        return int(float(list(csv.DictReader(file))[-1]["step"]))
    return 0


def lost_models(needed: Needed) -> list[str]:
    """A line for each training that would run again although it finished earlier, because a file was lost.

    Either the training's weights still exist, or some results that were made with them. A lost curve or shard is not
    worth days of training: the user pulls the file, or names the training.
    """
    lines = []
    for shard in needed.shards.values():
        job = shard.job
        here = [file for file in job.files if job.has(file)]
        if needed.is_rerun(job) or not here or len(here) == len(job.files):
            continue
        if job.is_training and job.stage.outputs["weights"] in here:
            lost = ", ".join(file for file in job.files if file not in here)
            remedy = f"restore it (dvc pull {job.folder}), or train again: snakemake --forcerun {job.stage.name}"
            lines.append(f"{job.entry}: {lost} is missing in {job.folder}, while its weights are here: {remedy}")
        elif not job.is_training:
            lines += [
                f"{job.entry}: {shard.files[0]} is missing in {job.folder}, and making it takes {model.entry},"
                f" which is not here: restore it (dvc pull {model.folder}), or train it again:"
                f" snakemake --forcerun {model.stage.name}"
                for model in trainings_behind(needed, job)
            ]
    return list(dict.fromkeys(lines))


def trainings_behind(needed: Needed, job: Job) -> list[Job]:
    """The trainings that a run has to do for a job, except those that the user asked for or that were damaged."""
    will_run = {job.key for job in needed.jobs}
    behind: dict[tuple[str, str], Job] = {}
    waiting = list(job.upstream)
    while waiting:
        other = waiting.pop()
        if other.key in will_run and other.key not in behind and not needed.is_rerun(other):
            behind[other.key] = other
            waiting += other.upstream
    return [other for other in behind.values() if other.is_training and other.key not in needed.asked]


def touch_future_files(paths: Iterable[str]) -> None:
    """Give files with a time in the future the present time.

    Snakemake ends a job with an error if an output is older than an input. That is the case for every input that was
    made on a machine whose clock is ahead, and no rerun would help.
    """
    for path in sorted(set(paths)):
        with suppress(FileNotFoundError):
            if (modified := Path(path).stat().st_mtime) <= time.time():
                continue
            try:
                os.utime(path)
            except OSError as error:
                problem = f"its time {datetime.fromtimestamp(modified):%Y-%m-%d %H:%M} is in the future"
                remedy = f"cannot be changed ({error.strerror}); touch the file, or correct the clock"
                raise InputError(f"{path}: {problem} and {remedy}") from None
