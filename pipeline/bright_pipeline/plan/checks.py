"""Problems that would stop a run's jobs, found before the first one starts."""

import csv
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.engine.jobs import Job, path_of, planned
from bright_pipeline.engine.run import Needed
from bright_pipeline.models.metric_networks.files import network_state
from bright_pipeline.models.metric_networks.manifest import manifest, missing_line
from bright_pipeline.plan.publish import recorded_config
from bright_pipeline.stages.autoencoders import TAKE_SNAPSHOT, missing_snapshot
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.tables import MAKE_TABLE


def networks_needed(made: Iterable[Job]) -> list[str]:
    """The networks that these jobs read, sorted."""
    paths = [Path(path_of(source)) for job in made for sources in job.inputs.values() for source in sources]
    return sorted({path.stem for path in paths if path.parent == NETWORKS})


def networks_used(jobs: Jobs) -> list[str]:
    """The networks that a config asks for, sorted, with those whose metrics a run leaves out without them."""
    return sorted({*jobs.config.evaluation.networks, *networks_needed(jobs(planned).values())})


def obstacles(jobs: Jobs, needed: Needed, folder: Path = NETWORKS) -> list[str]:
    """One line for each problem that would stop a run. Reads the network files that it needs, and no images."""
    found = lost_models(needed)
    found += sorted({line for job in needed.jobs for line in job.stage.problems(job)})
    lost = []
    for job in needed.jobs:  # snapshots whose trainings, finished or past that step, will not save them again
        if job.stage is TAKE_SNAPSHOT and not (path := Path(job.settings["snapshot"])).exists():
            (training,) = job.upstream
            will_run = training.key in {other.key for other in needed.jobs}
            if not (will_run and (needed.again(training) or saved_step(training) < job.settings["step"])):
                lost.append(f"{job.entry}: {missing_snapshot(path)}")
    states = [network_state(name, folder) for name in networks_needed(needed.jobs)]
    return found + sorted(lost) + [state.line for state in states if state.status in ("wrong", "missing")]


def saved_step(job: Job) -> int:
    """Steps in a training's saved state; its history is saved together with it."""
    try:
        with (job.work / "history.csv").open(newline="", encoding="utf-8") as file:
            return int(float(list(csv.DictReader(file))[-1]["step"]))
    except (OSError, ValueError, KeyError, IndexError):
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
        if needed.again(job) or not here:
            continue
        if job.is_training and job.stage.outputs["weights"] in here:
            lost = ", ".join(file for file in job.files if file not in here)
            lines.append(
                f"{job.entry}: {lost} is missing in {job.folder}, while its weights are here: restore it"
                f" (dvc pull {job.folder}), or train again: snakemake --forcerun {job.stage.name}"
            )
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
    found: dict[tuple[str, str], Job] = {}
    made = {other.key for other in needed.jobs}
    waiting = list(job.upstream)
    while waiting:
        other = waiting.pop()
        if other.key in made and other.key not in found and not needed.again(other):
            found[other.key] = other
            waiting += other.upstream
    return [other for other in found.values() if other.is_training and other.key not in needed.asked]


def left_out(made: Iterable[Job]) -> list[str]:
    """At most one line: the missing networks whose metrics the tables among these jobs lack."""
    lines = {line for job in made if job.stage is MAKE_TABLE for line in job.settings["missing"]}
    names = [name for name in manifest() if missing_line(name, NETWORKS) in lines]
    where = "`bright doctor CONFIG` lists these metrics and where to get the networks"
    return [f"the tables lack the metrics of missing networks ({', '.join(names)}): {where}"] if names else []


def claimed_run(jobs: Jobs, config: str) -> str | None:
    """A line if another config, which still exists, has this run's name."""
    known = recorded_config(jobs)
    if known is None or known == config or not os.path.exists(known):  # noqa: PTH110 - False for impossible paths
        return None
    return (
        f"run: results/{jobs.config.run} is the run of {known}, not of {config}; give one of them another name"
        f" (or remove results/{jobs.config.run}/config.yaml)"
    )


def set_back(paths: Iterable[str]) -> None:
    """Give files with a time in the future the present time.

    Snakemake ends a job with an error if an output is older than an input. That is the case for every input that was
    made on a machine whose clock is ahead, and no rerun would help.
    """
    now = time.time()
    for path in sorted(set(paths)):
        with suppress(FileNotFoundError):
            if (modified := Path(path).stat().st_mtime) <= now:
                continue
            try:
                os.utime(path)
            except OSError as error:
                raise InputError(
                    f"{path}: its time {datetime.fromtimestamp(modified):%Y-%m-%d %H:%M} is in the future and cannot"
                    f" be changed ({error.strerror}); touch the file, or correct the clock"
                ) from None
