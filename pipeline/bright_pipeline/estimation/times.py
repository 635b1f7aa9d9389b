"""The time of each job of a plan: from records, else, for trainings, from counted operations."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from bright_pipeline.base.progress import Progress
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.engine.records import State, read_record, record_path
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation.devices import CPU, DEVICES, Device, TrainingCost, trainings
from bright_pipeline.stages.common import Jobs


class Known(StrEnum):
    """The source of a job's time."""

    MEASURED = "measured"
    ALIKE = "same as a measured job"
    COUNTED = "operations counted"
    UNKNOWN = "no record yet"


@dataclass(frozen=True)
class JobTime:
    """The time of one shard."""

    shard: Shard
    known: Known
    share_left: float  # the share of its work that is still to be done
    seconds: float | None = None  # wall-clock time of the whole job
    gpus: int = 0  # on all nodes together
    cost: TrainingCost | str | None = None  # of a training, where it was counted; why it could not be counted

    @property
    def whole_s(self) -> float:
        return self.seconds or 0.0

    @property
    def missing_s(self) -> float:
        return self.whole_s * self.share_left


def job_times(jobs: Jobs, device: Device) -> list[JobTime]:
    """The times of all shards of a plan on a device."""
    times = [_recorded(shard, device) for job in jobs(planned).values() for shard in shards(job)]
    # Count the trainings that are still to run, for their memory, and those without a measured time.
    to_count = [
        number
        for number, one in enumerate(times)
        if one.shard.job.is_training and (one.known != Known.MEASURED or one.share_left > 0)
    ]
    with Progress("count operations", len(to_count), "trainings", visible=bool(to_count)) as progress:
        for number in to_count:
            times[number] = _counted(times[number], device)
            progress.advance()
    # A shard without a record takes as long per image as the measured shards of the same stage and model.
    measured: dict[tuple[str, str], list[JobTime]] = defaultdict(list)
    for one in times:
        if one.known == Known.MEASURED and not one.shard.job.is_training:
            measured[one.shard.job.stage.name, one.shard.job.label].append(one)
    for number, one in enumerate(times):
        if one.known == Known.UNKNOWN and (alike := measured[one.shard.job.stage.name, one.shard.job.label]):
            per_image = sum(other.whole_s for other in alike) / sum(other.shard.images for other in alike)
            seconds = per_image * one.shard.images
            times[number] = replace(one, known=Known.ALIKE, seconds=seconds, gpus=alike[0].gpus)
    return times


def _recorded(shard: Shard, device: Device) -> JobTime:
    """The time in a shard's record, if it ran on such a device or needed none."""
    record, left = read_record(record_path(shard.log)), 0.0 if shard.complete else 1.0
    comparable = not record.get("gpus") or device.matches.lower() in str(record.get("device")).lower()
    gpus = int(record.get("gpus") or 0) * int(record.get("nodes") or 1) * device.is_gpu
    if comparable and shard.job.is_training and (trained := _trained(shard.job, record)):
        seconds, share = trained
        return JobTime(shard, Known.MEASURED, min(left, 1 - share), seconds / share, gpus)
    if comparable and not shard.job.is_training and record.get("state") == State.DONE:
        return JobTime(shard, Known.MEASURED, left, record["seconds"], gpus)
    return JobTime(shard, Known.UNKNOWN, left)


def _trained(job: Job, record: dict[str, Any]) -> tuple[float, float] | None:
    """Seconds of all attempts of a training, by its history, and the share of its steps that they covered."""
    finished = [Path(output) for output in job.outputs if output.endswith(".history.csv")]
    for path in (*finished, job.work / "history.csv"):
        try:
            with path.open(newline="", encoding="utf-8") as file:
                last = list(csv.DictReader(file))[-1]
            share = min(1.0, float(last["step"]) / record["total"])
            return (float(last["seconds"]), share) if share else None
        except (OSError, KeyError, ValueError, IndexError, ZeroDivisionError):
            continue
    return None


def _counted(one: JobTime, device: Device) -> JobTime:
    """A training with its cost and, where no record has it, its time at the device's rate."""
    # These import torch, which a plan with records alone does not need.
    from bright_pipeline.estimation.costs import training_cost
    from bright_pipeline.estimation.fake_gpu import NotCounted

    config = one.shard.job.jobs.config
    settings = trainings(config)[one.shard.job.entry]
    execution = settings.execution
    device = device if execution.gpus else DEVICES[CPU]
    try:
        cost = training_cost(config, settings)
    except NotCounted as error:
        return replace(one, cost=str(error))
    if one.known == Known.MEASURED:
        return replace(one, cost=cost)
    gpus = execution.processes if device.is_gpu else 0
    workers = gpus or execution.processes * execution.cpu_threads
    seconds = device.seconds(cost.work, execution.precision) / workers
    return replace(one, known=Known.COUNTED, seconds=seconds, gpus=gpus, cost=cost)


def longest_chain(jobs: Iterable[Job], times: list[JobTime]) -> tuple[float, list[Job]]:
    """The longest sequence of missing jobs that need each other, and its seconds: a lower bound for any cluster."""
    own: dict[tuple[str, str], float] = defaultdict(float)
    for one in times:
        key = one.shard.job.key
        own[key] = max(own[key], one.missing_s)
    chains: dict[tuple[str, str], tuple[float, list[Job]]] = {}

    def chain(job: Job) -> tuple[float, list[Job]]:
        key = job.key
        if key not in chains:
            before = max((chain(one) for one in job.upstream), key=lambda found: found[0], default=(0.0, []))
            chains[key] = (before[0] + own[key], [*before[1], job] if own[key] else before[1])
        return chains[key]

    return max((chain(job) for job in jobs), key=lambda found: found[0], default=(0.0, []))
