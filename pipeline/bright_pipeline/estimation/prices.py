"""The price of each job of a plan, as ranges: from records, else from the operations of its models (`Stage.uses`)."""

import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache
from math import ceil
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.progress import Progress
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.engine.records import State, read_record, record_path
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation.devices import CPU, DEVICES, SLOWEST, Cost, Device, listed, needed_gib, trainings
from bright_pipeline.stages.common import Jobs

# Assumed: a job on a GPU imports its libraries, loads its models, reads and writes images.
START_S = np.array([10.0, 60.0])
RATES = Path("results/rates.json")  # written by the GPU check (docs/gpus.md)
NOTHING = np.zeros(2)
MARGIN = 1.25  # of the time that a cluster job requests, over the upper end


class Known(StrEnum):
    """The source of a job's time."""

    MEASURED = "measured"
    ALIKE = "same as a measured job"
    COUNTED = "operations counted"
    UNKNOWN = "no record yet"


@dataclass(frozen=True)
class JobPrice:
    """The price of one shard."""

    shard: Shard
    known: Known
    share_left: float  # the share of its work that is still to be done
    whole_s: np.ndarray = field(default_factory=NOTHING.copy)  # wall-clock time of the whole job: lower and upper end
    gpus: int = 0  # on all nodes together
    costs: tuple[Cost, ...] = ()  # of its models, where they were counted
    problem: str = ""  # why they could not be counted

    @property
    def missing_s(self) -> np.ndarray:
        return self.whole_s * self.share_left

    @property
    def largest(self) -> Cost | None:
        """The use of a GPU with the largest peak of memory."""
        return max(self.costs, key=lambda cost: cost.peak, default=None) if self.shard.job.stage.gpu else None

    @property
    def gib(self) -> float | None:
        """The memory that a GPU must have for it."""
        return None if self.largest is None else needed_gib(self.largest)


def job_prices(jobs: Jobs, device: Device) -> list[JobPrice]:
    """The prices of all shards of a plan on a device."""
    device = replace(device, measured=measured_shares(device))
    prices = [_recorded(shard, device) for job in jobs(planned).values() for shard in shards(job)]
    # A shard without a record takes as long per image as the measured shards of the same stage and model.
    measured = defaultdict(list)
    for one in prices:
        if one.known == Known.MEASURED and not one.shard.job.is_training:
            measured[one.shard.job.stage.name, one.shard.job.label].append(one.whole_s / one.shard.images)
    with Progress("count operations", len(prices), "jobs") as progress:
        for number, one in enumerate(prices):
            progress.advance()
            # A finished job needs no memory, and one on a login node takes seconds.
            if not one.shard.job.stage.local and (one.known != Known.MEASURED or one.share_left):
                prices[number] = one = _counted(one, device)
            if one.known != Known.MEASURED and (per_image := measured[one.shard.job.stage.name, one.shard.job.label]):
                whole_s = np.mean(per_image, axis=0) * one.shard.images
                prices[number] = replace(one, known=Known.ALIKE, whole_s=whole_s)
    return prices


def measured_shares(device: Device) -> dict[str, float]:
    """The shares of a device's peak that the GPU check measured, by use and precision."""
    try:
        rates = read_json(RATES, str(RATES))
        return {use: float(share) for use, share in rates.get(device.name, {}).items()}
    except (InputError, AttributeError, TypeError, ValueError):
        return {}


def _recorded(shard: Shard, device: Device) -> JobPrice:
    """The time in a shard's record, if it ran on such a device or needed none."""
    record, left = read_record(record_path(shard.log)), 0.0 if shard.complete else 1.0
    comparable = not record.get("gpus") or device.matches.lower() in str(record.get("device")).lower()
    gpus = int(record.get("gpus") or 0) * int(record.get("nodes") or 1) * device.is_gpu
    total = record.get("total", 0)
    if comparable and shard.job.is_training and total and record.get("rate"):  # steps per second
        share_left, whole_s = 1 - record.get("done", 0) / total, total / record["rate"]
        return JobPrice(shard, Known.MEASURED, min(left, share_left), np.full(2, whole_s), gpus)
    if comparable and not shard.job.is_training and record.get("state") == State.DONE:
        return JobPrice(shard, Known.MEASURED, left, np.full(2, record["seconds"]), gpus)
    return JobPrice(shard, Known.UNKNOWN, left)


def _counted(one: JobPrice, device: Device) -> JobPrice:
    """A job with its costs and, where no record has it, its time at the device's rate."""
    # These import torch, which a plan with records alone does not need.
    from bright_pipeline.estimation.costs import use_cost
    from bright_pipeline.estimation.fake_gpu import NotCounted

    job, config = one.shard.job, one.shard.job.jobs.config
    uses = [*job.stage.uses(job, one.shard.images)]
    gpus = workers = 1
    if job.is_training:
        execution = trainings(config)[job.entry].execution
        device = device if execution.gpus else DEVICES[CPU]
        workers = gpus = execution.processes
        workers *= 1 if device.is_gpu else execution.cpu_threads
    elif not job.stage.gpu:
        device, gpus = DEVICES[CPU], 0
    try:
        costs = [use_cost(config, use) for use in uses]
    except NotCounted as error:
        return replace(one, problem=str(error))
    if one.known == Known.MEASURED:
        return replace(one, costs=tuple(costs))
    seconds = sum((device.seconds(cost, use.work) for use, cost in zip(uses, costs, strict=True)), NOTHING)
    whole_s = seconds / workers + START_S * device.is_gpu
    return replace(one, known=Known.COUNTED, whole_s=whole_s, gpus=gpus * device.is_gpu, costs=tuple(costs))


def longest_chain(jobs: Iterable[Job], prices: list[JobPrice]) -> tuple[float, list[Job]]:
    """The longest sequence of missing jobs that need each other, with its seconds at least: a lower bound."""
    own: dict[tuple[str, str], float] = defaultdict(float)
    for one in prices:
        key = one.shard.job.key
        own[key] = max(own[key], float(one.missing_s[0]))

    @cache
    def chain(job: Job) -> tuple[float, list[Job]]:
        seconds, before = longest(job.upstream)
        return seconds + own[job.key], [*before, job] if own[job.key] else before

    def longest(jobs: Iterable[Job]) -> tuple[float, list[Job]]:
        return max(map(chain, jobs), key=lambda found: found[0], default=(0.0, []))

    return longest(jobs)


def requests(jobs: Jobs, cards: Iterable[str]) -> dict[str, tuple[float | None, int | None]]:
    """Seconds at most, and MiB on each GPU, of each shard by its log's name, on the slowest of a cluster's cards."""
    device = min(filter(None, map(listed, cards)), key=lambda card: card.half, default=DEVICES[SLOWEST])

    def count() -> None:
        for one in job_prices(jobs, device):
            seconds = None if one.known == Known.UNKNOWN else float(one.whole_s[1]) * MARGIN
            found[one.shard.log_name] = seconds, None if one.gib is None else ceil(one.gib * 1024)
        writer.send(found)

    found: dict[str, tuple[float | None, int | None]] = {}
    context = get_context("fork")  # a child process counts: the planner imports no torch
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=count)
    child.start()
    writer.close()
    try:
        found = reader.recv()
    except EOFError:
        print("warning: the prices of jobs are unknown: they request the profile's time", file=sys.stderr)
    child.join()
    return found
