"""An estimate as a table for people, and as JSON; its images are counted also before a dataset is prepared."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from pipeline.base.amounts import readable_bytes, readable_duration
from pipeline.data.fingerprint import split_counts
from pipeline.estimation.devices import Device
from pipeline.estimation.times import JobTime, Known
from pipeline.plan.shards import planned, shards
from pipeline.settings.dataset import Dataset
from pipeline.stages import all_stages
from pipeline.stages.common import Job, Jobs
from pipeline.stages.datasets import dataset, raw_images

UNKNOWN = 10_000  # images for training, where nothing tells


@dataclass(frozen=True)
class ImageCounts:
    """Images of both splits, and how they are known."""

    train: int
    validation: int
    known_from: str


def image_counts(name: str, dataset: Dataset, fingerprint: dict[str, Any], manifest: Path) -> ImageCounts:
    """From the manifest, else from the fingerprint, else from the config's `expected`, else an assumption."""
    if manifest.exists():
        facts = json.loads(manifest.read_text(encoding="utf-8"))
        return ImageCounts(facts["train"]["count"], facts["validation"]["count"], "prepared")
    if found := split_counts(fingerprint, dataset):
        return ImageCounts(found["train"], found["validation"], "raw images")
    if dataset.expected is not None:
        return ImageCounts(dataset.expected.train, dataset.expected.validation, f"datasets.{name}.expected")
    validation = dataset.split.validation or UNKNOWN // 10
    return ImageCounts(UNKNOWN, validation, f"assumed, since nothing tells; datasets.{name}.expected would")


HOUR = 3600


@dataclass(frozen=True)
class Estimate:
    """All that the command prints."""

    config: str
    device: Device
    gpus: int
    images: dict[str, ImageCounts]
    times: list[JobTime]
    chain_s: float
    chain: list[Job]
    space: dict[str, int]
    """Bytes that missing results will take at most, by their stages."""
    absent: list[str]
    """Metric networks without weights here, whose jobs are not in the plan."""


def facts(estimate: Estimate) -> dict[str, Any]:
    """The estimate as JSON values; times in seconds."""
    by_stage = {stage: [one for one in estimate.times if one.shard.job.stage.name == stage] for stage in all_stages()}
    return {
        "config": estimate.config,
        "device": str(estimate.device),
        "gpus": estimate.gpus,
        "images": {name: vars(found) for name, found in estimate.images.items()},
        "longest_chain_s": estimate.chain_s,
        "longest_chain": [f"{job.stage.name} {job.label}" for job in estimate.chain],
        "stages": {stage: _sums(times) for stage, times in by_stage.items() if times},
        "total": _sums(estimate.times),
        "jobs": [
            {"job": one.shard.log_name, "known": one.known, "seconds": one.seconds, "gpus": one.gpus}
            | {"seconds_missing": None if one.seconds is None else one.missing_s}
            for one in estimate.times
        ],
        "disk_bytes": estimate.space,
        "notes": notes(estimate),
    }


def _sums(times: list[JobTime]) -> dict[str, Any]:
    return {
        "jobs": {"missing": sum(one.share_left > 0 for one in times), "whole": len(times)},
        "s": {"missing": sum(one.missing_s for one in times), "whole": sum(one.whole_s for one in times)},
        "gpu_s": {
            "missing": sum(one.missing_s * one.gpus for one in times),
            "whole": sum(one.whole_s * one.gpus for one in times),
        },
        "known": dict(Counter(one.known for one in times)),
    }


def text(estimate: Estimate) -> str:
    """The estimate as lines for a terminal."""
    found = facts(estimate)
    rows = [_row(stage, sums) for stage, sums in (found["stages"] | {"total": found["total"]}).items()]
    header = ["stage", "jobs", "hours", "GPU-hours", "known by"]
    if not estimate.device.is_gpu:
        header, *rows = ([*row[:3], *row[4:]] for row in (header, *rows))
    return "\n".join(
        [
            f"{estimate.config} on {estimate.device.name}; missing / whole where they differ",
            "",
            tabulate(rows, header, tablefmt="simple", stralign="right", colalign=("left",), disable_numparse=True),
            "",
            *_wall(estimate, found["total"]),
            *(f"- {line}" for line in notes(estimate)),
        ]
    )


def _row(name: str, sums: dict[str, Any]) -> list[str]:
    known = sums["known"]
    basis = ", ".join(f"{count} {known_by}" for known_by, count in known.items()) if len(known) > 1 else "".join(known)
    return [name, _pair(sums["jobs"], str), _pair(sums["s"], _hours), _pair(sums["gpu_s"], _hours), basis]


def _pair(found: dict[str, Any], readable: Any) -> str:
    missing, whole = readable(found["missing"]), readable(found["whole"])
    return "" if not found["whole"] else whole if missing == whole else f"{missing} / {whole}"


def _hours(seconds: float) -> str:
    hours = seconds / HOUR
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}"


def _wall(estimate: Estimate, total: dict[str, Any]) -> list[str]:
    """No shorter than the longest chain, nor than all work shared by all devices."""
    if not total["jobs"]["missing"]:
        return ["Nothing is missing."]
    chain = " > ".join(f"{job.stage.name} {job.label}" for job in estimate.chain) or "none of known time"
    lines = [f"At least {readable_duration(estimate.chain_s)}, the longest chain of jobs: {chain}."]
    if estimate.device.is_gpu:
        shared = readable_duration(total["gpu_s"]["missing"] / estimate.gpus)
        lines.append(f"At least {shared}, the GPU-hours shared by {estimate.gpus} GPU{'s' * (estimate.gpus > 1)}.")
    else:
        lines.append(f"{readable_duration(total['s']['missing'])} where one job runs after the other.")
    return lines


def notes(estimate: Estimate) -> list[str]:
    """What the numbers rest on and what they leave out, a line each."""
    lines = [
        f"{name}: {found.train:,} images for training, {found.validation:,} for validation ({found.known_from})"
        for name, found in estimate.images.items()
    ]
    if any(one.known == Known.COUNTED for one in estimate.times):
        counted = f"the operations of their steps at {estimate.device}; waiting for images and previews are left out"
        lines.append(f"trainings without a record: {counted}")
    if unknown := sum(one.known == Known.UNKNOWN and one.share_left > 0 for one in estimate.times):
        lines.append(f"not in these numbers: {unknown} jobs that no record tells of yet")
    if estimate.absent:
        lines.append(f"not in the plan: metrics of {', '.join(estimate.absent)}, whose weights are not here")
    if estimate.space:
        told = f"disk: at most {readable_bytes(sum(estimate.space.values()))} more under results"
        most = max(estimate.space, key=lambda stage: estimate.space[stage])
        lines.append(f"{told}, {readable_bytes(estimate.space[most])} of it by {most}")
    return [*lines, "never in these numbers: queues"]


def known_images(jobs: Jobs) -> dict[str, ImageCounts]:
    """The images of each dataset of a config."""
    return {
        name: image_counts(name, settings, jobs(raw_images, name), Path(jobs(dataset, name).path("manifest.json")))
        for name, settings in jobs.config.datasets.items()
    }


def missing_space(jobs: Jobs) -> dict[str, int]:
    """Bytes that what is missing of a plan will take at most, by stages."""
    from pipeline.estimation.space import space_needed  # with torch, which a command's help can do without

    missing = [shard for job in jobs(planned).values() for shard in shards(job) if not shard.complete]

    def count(of: Jobs, name: str, split: str) -> int:
        return int(getattr(of(known_images)[name], split))

    return space_needed(missing, count)
