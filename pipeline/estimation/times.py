"""What the jobs of a plan take, and how that is known: from records, else of trainings by counted operations."""

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.base.records import State, read_record, record_path
from pipeline.config.root import Config
from pipeline.estimation.devices import CPU, DEVICES, Device, Work
from pipeline.families import parse_autoencoder, parse_generator
from pipeline.plan.shards import Shard, planned, shards
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.diffusion import Denoising, Diffusion
from pipeline.settings.fields import CodeSize
from pipeline.stages.common import Job, Jobs


class Known(StrEnum):
    """How a job's time is known."""

    MEASURED = "measured"
    ALIKE = "like a measured one"
    COUNTED = "operations counted"
    UNKNOWN = "no record yet"


@dataclass(frozen=True)
class JobTime:
    """One job of the workflow, or one range of its images."""

    shard: Shard
    known: Known
    share_left: float
    seconds: float | None = None
    """Of the whole job on the clock."""
    gpus: int = 0
    """On all its nodes."""

    @property
    def whole_s(self) -> float:
        return self.seconds or 0.0

    @property
    def missing_s(self) -> float:
        return self.whole_s * self.share_left


def job_times(jobs: Jobs, device: Device) -> list[JobTime]:
    """All jobs of the plan, range by range, on a device."""
    found = [_time(jobs, shard, device) for job in jobs(planned).values() for shard in shards(job)]
    alike: dict[tuple[str, str], list[JobTime]] = defaultdict(list)
    for one in found:
        if one.known == Known.MEASURED and not one.shard.job.is_training:
            alike[_kind(one)].append(one)
    return [_like_measured(one, alike[_kind(one)]) if one.known == Known.UNKNOWN else one for one in found]


def _time(jobs: Jobs, shard: Shard, device: Device) -> JobTime:
    record, left = read_record(record_path(shard.log)), 0.0 if shard.complete else 1.0
    here = not record.get("gpus") or device.matches.lower() in str(record.get("device")).lower()
    gpus = int(record.get("gpus") or 0) * int(record.get("nodes") or 1) * device.is_gpu
    if shard.job.is_training:
        if here and (trained := _trained(shard.job, record)):
            seconds, share = trained
            return JobTime(shard, Known.MEASURED, min(left, 1 - share), seconds / share, gpus)
        counted, gpus = training_cost(shard.job.jobs.config, shard.job, device)
        return JobTime(shard, Known.UNKNOWN if counted is None else Known.COUNTED, left, counted, gpus)
    if here and record.get("state") == State.DONE:
        return JobTime(shard, Known.MEASURED, left, record["seconds"], gpus)
    return JobTime(shard, Known.UNKNOWN, left)


def _trained(job: Job, record: dict[str, Any]) -> tuple[float, float] | None:
    """Seconds of all attempts of a training, by its history, and the share of its steps that took them."""
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


def _kind(one: JobTime) -> tuple[str, str]:
    """Jobs of one kind do the same to the same model or dataset; their images may be other ones."""
    return one.shard.job.stage.name, one.shard.job.label


def _like_measured(one: JobTime, alike: list[JobTime]) -> JobTime:
    """A job without a record takes for each of its images what the measured ones of its kind took."""
    if not alike:
        return one
    per_image = sum(other.whole_s for other in alike) / sum(other.shard.images for other in alike)
    return replace(one, known=Known.ALIKE, seconds=per_image * one.shard.images, gpus=alike[0].gpus)


def longest_chain(jobs: Iterable[Job], times: list[JobTime]) -> tuple[float, list[Job]]:
    """The seconds of missing jobs that need each other, which no number of devices shortens; and these jobs."""
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


def training_cost(config: Config, job: Job, device: Device) -> tuple[float | None, int]:
    """Seconds that a training takes on a device, None where its operations are not counted; and its GPUs."""
    settings = _settings(job.settings)
    execution = settings.execution
    device = device if execution.gpus else DEVICES[CPU]
    workers = execution.processes if device.is_gpu else execution.processes * execution.cpu_threads
    work = _work(config, settings)
    seconds = None if work is None else device.seconds(work, execution.precision) / workers
    return seconds, execution.processes if device.is_gpu else 0


def _settings(settings: dict[str, Any]) -> Any:
    """Of the model that a training's job trains."""
    if "diffusion" in settings:
        return Diffusion.model_validate(settings["diffusion"])
    if "generator" in settings:
        return parse_generator(settings["generator"], "generator")
    return parse_autoencoder(settings["autoencoder"], "autoencoder")


def _work(config: Config, settings: Any) -> Work | None:
    """All operations, counted on networks without numbers; None where this PyTorch can't count them."""
    # With torch, which a plan of records alone can do without.
    from pipeline.estimation.costs import training_work
    from pipeline.estimation.fake_gpu import NoFakeGPU
    from pipeline.estimation.operations import RECOMPUTED, unet_training

    if isinstance(settings, AutoencoderSettings):
        return _autoencoder_work(config, settings)
    if not isinstance(settings, Denoising):
        try:
            return training_work(config, settings)
        except NoFakeGPU:
            return None
    model: Any = settings  # on the codes of an autoencoder, or on the images of a dataset
    if model.autoencoder is not None:
        size = config.autoencoders[model.autoencoder].code_size
    else:
        dataset = config.datasets[model.dataset]
        size = CodeSize(dataset.resolution, dataset.resolution, dataset.channels)
    again = RECOMPUTED if model.execution.checkpointing else 1
    return unet_training(model.unet, size) * (model.training.steps * model.training.batch * again)


def _autoencoder_work(config: Config, settings: AutoencoderSettings) -> Work:
    """Images before the adversarial loss, those that train the critic alone, and the rest."""
    from pipeline.estimation.operations import Phase, autoencoder_training

    dataset, images = config.datasets[settings.dataset], settings.training.images
    adversarial = settings.losses.adversarial
    off = images if adversarial.kind == "none" else min(adversarial.start_images, images)
    critic_only = min(adversarial.critic_only_images, images - off)
    phases: dict[Phase, int] = {"off": off, "critic only": critic_only, "on": images - off - critic_only}
    steps = [
        autoencoder_training(settings, dataset.resolution, dataset.channels, phase) * count
        for phase, count in phases.items()
        if count
    ]
    return sum(steps, Work())
