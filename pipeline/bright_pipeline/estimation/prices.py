"""The price of each job of a plan, as ranges: from records, else from the operations of its models (`Stage.uses`)."""

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.progress import Progress
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.jobs import Job, planned
from bright_pipeline.engine.records import State, read_record, record_path
from bright_pipeline.engine.shards import Shard, shards
from bright_pipeline.estimation.devices import CPU, DEVICES, Device, UseCost, choose_device, needed_gib, trainings
from bright_pipeline.stages.common import Jobs

START_S = np.array(
    [10.0, 60.0]
)  # assumed: a job on a GPU imports its libraries, loads its models, reads and writes images
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
    costs: tuple[UseCost, ...] = ()  # of its models, where they were counted
    problem: str = ""  # why they could not be counted

    @property
    def missing_s(self) -> np.ndarray:
        return self.whole_s * self.share_left

    @property
    def largest(self) -> UseCost | None:
        """The use of a GPU with the largest peak of memory."""
        return max(self.costs, key=lambda cost: cost.step.peak, default=None) if self.shard.job.stage.gpu else None

    @property
    def gib(self) -> float | None:
        """The memory that a GPU must have for it."""
        return None if self.largest is None else needed_gib(self.largest)


def job_prices(jobs: Jobs, device: Device) -> list[JobPrice]:
    """The prices of all shards of a plan on a device."""
    device = replace(device, measured=measured_shares(device))
    prices = [_recorded(shard, device) for job in jobs(planned).values() for shard in shards(job)]
    # A finished job needs no memory; all others are counted, for it or for their time, but seconds on a login node.
    to_count = [
        number
        for number, one in enumerate(prices)
        if not one.shard.job.stage.local and (one.known != Known.MEASURED or one.share_left > 0)
    ]
    with Progress("count operations", len(to_count), "jobs", visible=bool(to_count)) as progress:
        for number in to_count:
            prices[number] = _counted(prices[number], device)
            progress.advance()
    # A shard without a record takes as long per image as the measured shards of the same stage and model.
    measured: dict[tuple[str, str], list[JobPrice]] = defaultdict(list)
    for one in prices:
        if one.known == Known.MEASURED and not one.shard.job.is_training:
            measured[one.shard.job.stage.name, one.shard.job.label].append(one)
    for number, one in enumerate(prices):
        known = one.known == Known.MEASURED or one.shard.job.is_training
        if not known and (alike := measured[one.shard.job.stage.name, one.shard.job.label]):
            per_image = sum((other.whole_s for other in alike), NOTHING) / sum(other.shard.images for other in alike)
            prices[number] = replace(one, known=Known.ALIKE, whole_s=per_image * one.shard.images, gpus=alike[0].gpus)
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
    if comparable and shard.job.is_training and (trained := _trained(shard.job, record)):
        seconds, share = trained
        return JobPrice(shard, Known.MEASURED, min(left, 1 - share), np.full(2, seconds / share), gpus)
    if comparable and not shard.job.is_training and record.get("state") == State.DONE:
        return JobPrice(shard, Known.MEASURED, left, np.full(2, record["seconds"]), gpus)
    return JobPrice(shard, Known.UNKNOWN, left)


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
    shares = zip(uses, costs, strict=True)
    seconds = sum((np.array(device.seconds(cost.work, cost.precision, use.work)) for use, cost in shares), NOTHING)
    start = START_S if device.is_gpu else NOTHING
    gpus = gpus * device.is_gpu
    return replace(one, known=Known.COUNTED, whole_s=seconds / workers + start, gpus=gpus, costs=tuple(costs))


def longest_chain(jobs: Iterable[Job], prices: list[JobPrice]) -> tuple[float, list[Job]]:
    """The longest sequence of missing jobs that need each other, with its seconds at least: a lower bound."""
    own: dict[tuple[str, str], float] = defaultdict(float)
    for one in prices:
        key = one.shard.job.key
        own[key] = max(own[key], float(one.missing_s[0]))
    chains: dict[tuple[str, str], tuple[float, list[Job]]] = {}

    def chain(job: Job) -> tuple[float, list[Job]]:
        key = job.key
        if key not in chains:
            before = max((chain(one) for one in job.upstream), key=lambda found: found[0], default=(0.0, []))
            chains[key] = (before[0] + own[key], [*before[1], job] if own[key] else before[1])
        return chains[key]

    return max((chain(job) for job in jobs), key=lambda found: found[0], default=(0.0, []))


def main(path: str, *cards: str) -> None:
    """Print `plan_prices`."""
    jobs = Jobs(read_config(Path(path)), fingerprints=Fingerprints(trusted=True))
    worst: dict[str, tuple[float | None, int | None]] = {}
    for card in cards:
        for one in job_prices(jobs, choose_device(card, None)):
            memory = None if one.gib is None else ceil(one.gib * 1024)
            seconds = None if one.known == Known.UNKNOWN else float(one.whole_s[1]) * MARGIN
            before, _ = worst.get(one.shard.log_name, (None, None))
            worst[one.shard.log_name] = max(filter(None, (before, seconds)), default=None), memory
    print(json.dumps(worst))


if __name__ == "__main__":
    main(*sys.argv[1:])
