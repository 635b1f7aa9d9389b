"""A plan's jobs with the seconds and bytes of each, and how these are known.

- measured: a finished job's own record;
- extrapolated: from the share of it that is done, or from a measured job of the same stage, by the ratio of
  what both are estimated at;
- estimated: from operations and the device's rate.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import log
from typing import Literal

from pipeline.estimation.costs import PARALLEL, PASS_S, START_S, Cost, Costs
from pipeline.estimation.devices import CPU, DEVICES, Device, this_device
from pipeline.estimation.records import Record, find_record
from pipeline.plan.jobs import Job
from pipeline.plan.run import Plan
from pipeline.plan.shards import Shard, shards

Basis = Literal["measured", "extrapolated", "estimated"]

GPU_STAGES = (
    "train_autoencoder",
    "reconstruct",
    "dump_codes",
    "explore_codes",
    "measure_codes",
    "measure_decoding",
    "train_diffusion",
    "train_generator",
    "generate",
    "extract_features",
    "nearest_neighbours",
)
PREPARE_WORKERS = 8  # as its rule has it
FARTHEST = 30.0  # a measured job this many times longer or shorter says nothing


@dataclass(frozen=True)
class Task:
    """One job of the workflow: a job of the plan, or one shard of it."""

    job: Job
    log_name: str
    """Of its log, its benchmark and its record, without a suffix."""
    outputs: tuple[str, ...]
    seconds: float
    """Of the whole task, on `gpus` GPUs or `cores` cores."""
    share_left: float
    basis: Basis
    gpus: int
    cores: int
    size: float
    """Bytes that stay."""

    @property
    def seconds_left(self) -> float:
        return self.seconds * self.share_left

    @property
    def size_left(self) -> float:
        return self.size if self.share_left else 0.0


class Estimator:
    """Makes the tasks of a plan for a device."""

    def __init__(self, plan: Plan, device: Device):
        self.plan, self.device, self.costs = plan, device, Costs(plan)
        self.here = device.matches.lower() in this_device().lower()

    def tasks(self) -> list[Task]:
        """All tasks of the plan."""
        found = [task for job in self.plan.jobs.values() for task in self._of(job)]
        known = [(task, plain) for task, plain in found if task.basis != "estimated"]
        return [self._extrapolated(task, known) for task, _ in found]

    def _of(self, job: Job) -> Iterable[tuple[Task, float]]:
        """A job's tasks, each with what it is estimated at."""
        cost = self.costs.of(job)
        parts = shards(job)
        images = sum(shard.images for shard in parts)
        return [self._task(shard, shard.images / images, cost) for shard in parts]

    def _task(self, shard: Shard, share: float, cost: Cost) -> tuple[Task, float]:
        job, done = shard.job, shard.complete
        plain = self._plain_seconds(job, cost, share)
        on_gpu = self.device.is_gpu and job.stage in GPU_STAGES
        cores = PREPARE_WORKERS if job.stage == "prepare_dataset" else 1 if on_gpu else cost.threads
        size = (cost.output_bytes + cost.state_bytes) * share
        left, gpus = 0.0 if done else 1.0, cost.gpus * on_gpu
        task = Task(job, shard.log_name, shard.outputs, plain, left, "estimated", gpus, cores, size)
        record = find_record(shard, cost.steps)
        if record is None or not self._counts(record) or record.share <= 0:
            return task, plain
        seconds = record.seconds / record.share
        if done:
            return replace(task, seconds=seconds, basis="measured"), plain
        if cost.steps is not None:  # its saved state holds what is done
            return replace(task, seconds=seconds, share_left=1 - record.share, basis="extrapolated"), plain
        return task, plain

    def _counts(self, record: Record) -> bool:
        """Whether a record was made on the device of the estimate; one that doesn't say was made here."""
        if record.device is None:
            return self.here
        return self.device.matches.lower() in record.device.lower()

    def _plain_seconds(self, job: Job, cost: Cost, share: float) -> float:
        """From operations and rates alone."""
        core = DEVICES[CPU]
        on_gpu = self.device.is_gpu and job.stage in GPU_STAGES
        if on_gpu:
            seconds = self.device.seconds(cost.work, cost.precision, cost.tf32)
            seconds = max(seconds, cost.passes * PASS_S) / (1 + PARALLEL * (cost.gpus - 1))
        else:
            seconds = core.seconds(cost.work) / cost.threads
        seconds += core.seconds(cost.cpu_work) / cost.threads
        workers = PREPARE_WORKERS if job.stage == "prepare_dataset" else 1
        return START_S + (seconds + cost.images_s / workers) * share

    def _extrapolated(self, task: Task, known: list[tuple[Task, float]]) -> Task:
        """A task without a record, from the measured one of its stage that is nearest to it."""
        near = [
            (abs(log(task.seconds / plain)), other.seconds / plain)
            for other, plain in known
            if other.job.stage == task.job.stage
        ]
        if task.basis != "estimated" or not near:
            return task
        distance, ratio = min(near)
        return replace(task, seconds=task.seconds * ratio, basis="extrapolated") if distance < log(FARTHEST) else task


def as_if_missing(tasks: list[Task]) -> list[Task]:
    """The same tasks with nothing done: what the whole takes."""
    return [replace(task, share_left=1.0) for task in tasks]
