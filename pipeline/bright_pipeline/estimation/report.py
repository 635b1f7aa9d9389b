"""The estimate of a config's run: time, memory and disk, as tables for people."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tabulate import tabulate

from bright_pipeline.base.amounts import readable_bytes, readable_duration
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.records import read_record, record_path
from bright_pipeline.estimation.devices import (
    CONTEXT_GIB,
    FRAGMENTATION,
    GIBI,
    TERA,
    Device,
    TrainingCost,
    fits,
    needed_gib,
    too_large,
)
from bright_pipeline.estimation.times import JobTime, Known
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.datasets import ImageCounts

HOUR, MILLION = 3600, 1e6


@dataclass(frozen=True)
class Estimate:
    """All numbers of an estimate."""

    config: str
    device: Device
    gpus: int
    images: dict[str, ImageCounts]
    times: list[JobTime]
    chain_s: float
    chain: list[Job]
    space: dict[str, int]  # upper bounds, in bytes, of the missing results by stage
    absent: list[str]  # metric networks without weights here, whose jobs are not in the plan

    @property
    def costs(self) -> dict[str, TrainingCost]:
        """The counted trainings, by entry."""
        found = {one.shard.job.entry: one.cost for one in self.times if isinstance(one.cost, TrainingCost)}
        return dict(sorted(found.items()))

    @property
    def not_counted(self) -> dict[str, str]:
        """Why the other trainings could not be counted, by entry."""
        return {one.shard.job.entry: one.cost for one in self.times if isinstance(one.cost, str)}

    @property
    def too_large(self) -> list[str]:
        """A line for each training that does not fit the device."""
        return [
            too_large(entry, cost, self.device)
            for entry, cost in self.costs.items()
            if fits(cost, self.device) is False
        ]


def text(estimate: Estimate) -> str:
    """The estimate as lines for a terminal."""
    by_stage = {stage: [one for one in estimate.times if one.shard.job.stage.name == stage] for stage in all_stages()}
    rows = [_sums(name, times) for name, times in (by_stage | {"total": estimate.times}).items() if times]
    header = ["stage", "jobs", "hours", "GPU-hours", "known by"]
    if not estimate.device.is_gpu:
        header, *rows = ([*row[:3], *row[4:]] for row in (header, *rows))
    lines = [f"{estimate.config} on {estimate.device.name}; missing / whole where they differ", ""]
    lines += [_table(header, rows), ""]
    # Lower bounds: the longest chain, and all work shared by all devices.
    if any(one.share_left for one in estimate.times):
        chain = " > ".join(f"{job.stage.name} {job.label}" for job in estimate.chain) or "none of known time"
        lines.append(f"At least {readable_duration(estimate.chain_s)}, the longest chain of jobs: {chain}.")
        if estimate.device.is_gpu:
            shared = readable_duration(sum(one.missing_s * one.gpus for one in estimate.times) / estimate.gpus)
            lines.append(f"At least {shared}, the GPU-hours shared by {estimate.gpus} GPU{'s' * (estimate.gpus > 1)}.")
        else:
            missing = sum(one.missing_s for one in estimate.times)
            lines.append(f"{readable_duration(missing)} where one job runs after the other.")
    else:
        lines.append("Nothing is missing.")
    lines.append("")
    if estimate.costs:
        lines += ["One step of each training on a GPU:", "", training_table(estimate), ""]
    return "\n".join([*lines, *(f"- {line}" for line in (*estimate.too_large, *notes(estimate)))])


def _table(header: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, header, tablefmt="simple", stralign="right", colalign=("left",), disable_numparse=True)


def _sums(name: str, times: list[JobTime]) -> list[str]:
    """A row of the first table: numbers of the missing jobs and of all, and the sources of their times."""
    known = Counter(one.known for one in times)
    basis = ", ".join(f"{count} {how}" for how, count in known.items()) if len(known) > 1 else "".join(known)
    return [
        name,
        _pair(sum(one.share_left > 0 for one in times), len(times), str),
        _pair(sum(one.missing_s for one in times), sum(one.whole_s for one in times), _hours),
        _pair(sum(one.missing_s * one.gpus for one in times), sum(one.whole_s * one.gpus for one in times), _hours),
        basis,
    ]


def _pair(missing: float, whole: float, readable: Callable[[float], str]) -> str:
    words = list(dict.fromkeys([readable(missing), readable(whole)]))
    return " / ".join(words) if whole else ""


def _hours(seconds: float) -> str:
    hours = seconds / HOUR
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2f}"


def training_table(estimate: Estimate) -> str:
    """One step of each kind of training, on one GPU."""
    entries: dict[int, list[str]] = {}
    for entry, cost in estimate.costs.items():
        entries.setdefault(id(cost), []).append(entry)
    header = ["training", "batch", "precision", "parameters", "operations", "TFLOP", "kept", "memory"]
    memory = estimate.device.memory_gib
    if memory is not None:
        header.append(f"fits {memory:g} GiB")
    rows = []
    for first, *others in entries.values():
        cost = estimate.costs[first]
        rows.append([
            f"{first} and {len(others)} alike" if others else first,
            str(cost.batch),
            cost.precision,
            f"{cost.parameters / MILLION:.1f}M",
            f"{cost.step.operations:,}",
            f"{cost.step.work.total / TERA:.1f}",
            f"{cost.step.kept / GIBI:.1f} GiB",
            f"{needed_gib(cost):.1f} GiB",
            *([] if memory is None else ["yes" if fits(cost, estimate.device) else "no"]),
        ])  # fmt: skip
    return _table(header, rows)


def notes(estimate: Estimate) -> list[str]:
    """The assumptions behind the numbers, and what they leave out, a line each."""
    lines = [
        f"{name}: {found.train:,} images for training, {found.validation:,} for validation ({found.known_from})"
        for name, found in estimate.images.items()
    ]
    if any(one.known == Known.COUNTED for one in estimate.times):
        lines.append(
            f"trainings without a record: the operations of their steps at {estimate.device};"
            " without waits for images, and without previews"
        )
    if estimate.costs:
        lines.append(
            "a step: the share of one GPU, optimizer included; operations: about one kernel each; kept: for the"
            f" backward pass; memory: the peak, {FRAGMENTATION - 1:.0%} and {CONTEXT_GIB:g} GiB (assumed) for PyTorch's"
            " allocator and CUDA's libraries"
        )
    lines += [f"{entry}: not counted: {problem}" for entry, problem in estimate.not_counted.items()]
    if unknown := sum(one.known == Known.UNKNOWN and one.share_left > 0 for one in estimate.times):
        lines.append(f"not in these numbers: {unknown} jobs without a record")
    if estimate.absent:
        lines.append(f"not in the plan: metrics of {', '.join(estimate.absent)}, whose weights are missing here")
    requested = max((one.shard.job.stage.memory_mb for one in estimate.times), default=0)
    taken = max((read_record(record_path(one.shard.log)).get("peak_mb", 0) for one in estimate.times), default=0)
    measured = f", and finished jobs took at most {readable_bytes(taken * 2**20)}" if taken else ""
    line = f"memory: a cluster job requests at most {readable_bytes(requested * 10**6)} for each process{measured}"
    of_gpu = max(map(needed_gib, estimate.costs.values()), default=None)
    lines.append(line if of_gpu is None else f"{line}; a training on a GPU needs up to {of_gpu:.1f} GiB there")
    if estimate.space:
        total = f"disk: at most {readable_bytes(sum(estimate.space.values()))} more under results"
        most = max(estimate.space, key=lambda stage: estimate.space[stage])
        lines.append(f"{total}, {readable_bytes(estimate.space[most])} of it by {most}")
    return [*lines, "never in these numbers: queues"]
