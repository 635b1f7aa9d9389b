"""The estimate of a config's run: time, memory and disk, as tables for people."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from tabulate import tabulate

from bright_pipeline.base.amounts import readable_bytes, readable_duration
from bright_pipeline.engine.jobs import Job
from bright_pipeline.engine.records import read_record, record_path
from bright_pipeline.estimation.devices import CONTEXT_GIB, FRAGMENTATION, GIBI, TERA, Device, UseCost, fits, too_large
from bright_pipeline.estimation.prices import JobPrice, Known
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.datasets import ImageCounts

HOUR, MILLION = 3600, 1e6
MOST_ENTRIES = 30  # each in a row of its own


@dataclass(frozen=True)
class Estimate:
    """All numbers of an estimate."""

    config: str
    device: Device
    gpus: int
    images: dict[str, ImageCounts]
    prices: list[JobPrice]
    chain_s: float
    chain: list[Job]
    space: dict[str, int]  # upper bounds, in bytes, of the missing results by stage
    absent: list[str]  # metric networks without weights here, whose jobs are not in the plan

    @property
    def costs(self) -> dict[str, UseCost]:
        """The counted trainings, by entry."""
        counted = {one.shard.job.entry: one.costs[0] for one in self.prices if one.costs and one.shard.job.is_training}
        return dict(sorted(counted.items()))

    @property
    def not_counted(self) -> dict[str, str]:
        """Why other jobs could not be counted, by entry."""
        return {one.shard.job.entry: one.problem for one in self.prices if one.problem}

    @property
    def too_large(self) -> list[str]:
        """A line for each job that does not fit the device."""
        largest = {one.shard.job.entry: one.largest for one in self.prices if one.largest}
        return [
            too_large(entry, cost, self.device)
            for entry, cost in sorted(largest.items())
            if fits(cost, self.device) is False
        ]


def text(estimate: Estimate) -> str:
    """The estimate as lines for a terminal."""
    by_stage = {stage: [one for one in estimate.prices if one.shard.job.stage.name == stage] for stage in all_stages()}
    rows = [_sums(name, prices) for name, prices in (by_stage | {"total": estimate.prices}).items() if prices]
    header = ["stage", "jobs", "hours", "GPU-hours", "known by"]
    if not estimate.device.is_gpu:
        header, *rows = ([*row[:3], *row[4:]] for row in (header, *rows))
    lines = [f"{estimate.config} on {estimate.device.name}; missing / whole where they differ", ""]
    lines += [_table(header, rows), ""]
    # Lower bounds: the longest chain, and all work shared by all devices.
    if any(one.share_left for one in estimate.prices):
        chain = " > ".join(f"{job.stage.name} {job.label}" for job in estimate.chain) or "none of known time"
        lines.append(f"At least {readable_duration(estimate.chain_s)}, the longest chain of jobs: {chain}.")
        missing = total(estimate.prices, of_gpus=estimate.device.is_gpu) / estimate.gpus
        durations = " to ".join(dict.fromkeys(map(readable_duration, missing)))
        if estimate.device.is_gpu:
            lines.append(f"{durations}, the GPU-hours shared by {estimate.gpus} GPU{'s' * (estimate.gpus > 1)}.")
        else:
            lines.append(f"{durations} where one job runs after the other.")
    else:
        lines.append("Nothing is missing.")
    lines.append("")
    if any(one.largest for one in estimate.prices):
        lines += ["Each entry on a GPU:", "", entry_table(estimate), ""]
    return "\n".join([*lines, *(f"- {line}" for line in (*estimate.too_large, *notes(estimate)))])


def total(prices: list[JobPrice], of_gpus: bool = True, whole: bool = False) -> np.ndarray:
    """Seconds of these jobs, missing ones or all, multiplied by their GPUs or not."""
    times = [(one.whole_s if whole else one.missing_s) * (one.gpus if of_gpus else 1) for one in prices]
    return np.sum(times, axis=0) if times else np.zeros(2)


def _table(header: list[str], rows: list[list[str]]) -> str:
    return tabulate(rows, header, tablefmt="simple", stralign="right", colalign=("left",), disable_numparse=True)


def _sums(name: str, prices: list[JobPrice]) -> list[str]:
    """A row of the first table: numbers of the missing jobs and of all, and the sources of their times."""
    known = Counter(one.known for one in prices)
    basis = ", ".join(f"{count} {how}" for how, count in known.items()) if len(known) > 1 else "".join(known)
    counts = dict.fromkeys([str(sum(one.share_left > 0 for one in prices)), str(len(prices))])
    return [name, " / ".join(counts), *(_pair(prices, of_gpus) for of_gpus in (False, True)), basis]


def _pair(prices: list[JobPrice], of_gpus: bool) -> str:
    missing, whole = (total(prices, of_gpus, every) for every in (False, True))
    return " / ".join(dict.fromkeys([hours(missing), hours(whole)])) if whole.any() else ""


def hours(seconds: np.ndarray) -> str:
    """A range of hours; one number where its ends are the same."""
    return " to ".join(dict.fromkeys(f"{h:,.0f}" if h >= 10 else f"{h:.2g}" for h in seconds / HOUR))


def entry_table(estimate: Estimate) -> str:
    """GPU-hours and memory of each entry in each stage; one step of a training, or one batch, on one GPU.

    Entries of less than an hour are one row for each stage, with the batch of the one that needs most memory.
    """
    entries: dict[tuple[str, str], list[JobPrice]] = {}
    for one in estimate.prices:
        if one.largest:
            entries.setdefault((one.shard.job.stage.name, one.shard.job.entry), []).append(one)
    short = [key for key, prices in entries.items() if total(prices, whole=True)[1] < HOUR]
    for stage in dict.fromkeys(stage for stage, _ in short) if len(entries) > MOST_ENTRIES else ():
        names = [key for key in short if key[0] == stage]
        prices = [one for key in names for one in entries.pop(key)]
        entries[stage, f"{len(names)} short entries"] = sorted(prices, key=lambda one: one.gib or 0, reverse=True)
    memory = estimate.device.memory_gib
    header = [
        "entry",
        "stage",
        "GPU-hours",
        "batch",
        "precision",
        "parameters",
        "operations",
        "TFLOP",
        "kept",
        "memory",
    ]
    rows = []
    order = list(all_stages())
    for (stage, entry), prices in sorted(entries.items(), key=lambda one: (order.index(one[0][0]), one[0][1])):
        first = prices[0]
        cost = first.largest
        assert cost is not None and first.gib is not None
        rows.append([
            entry,
            stage,
            hours(total(prices, whole=True)),
            str(cost.batch),
            cost.precision,
            f"{cost.parameters / MILLION:.1f}M" if cost.parameters else "",
            f"{cost.step.operations:,}",
            f"{cost.step.work.total / TERA:.1f}",
            f"{cost.step.kept / GIBI:.1f} GiB" if cost.step.kept else "",
            f"{first.gib:.1f} GiB",
            *([] if memory is None else ["yes" if fits(cost, estimate.device) else "no"]),
        ])  # fmt: skip
    return _table([*header, *([] if memory is None else [f"fits {memory:g} GiB"])], rows)


def notes(estimate: Estimate) -> list[str]:
    """The assumptions behind the numbers, and what they leave out, a line each."""
    lines = [
        f"{name}: {found.train:,} images for training, {found.validation:,} for validation ({found.known_from})"
        for name, found in estimate.images.items()
    ]
    if any(one.known == Known.COUNTED for one in estimate.prices):
        lines.append(
            f"jobs without a record: the operations of their models at {estimate.device}; a start of a minute; without"
            " waits for images, and without previews"
        )
    if any(one.largest for one in estimate.prices):
        lines.append(
            "operations of a step or a batch: about one kernel each; kept: for the backward pass; memory: the peak,"
            f" {FRAGMENTATION - 1:.0%} and {CONTEXT_GIB:g} GiB (assumed) for PyTorch's allocator and CUDA's libraries"
        )
    lines += [f"{entry}: not counted: {problem}" for entry, problem in estimate.not_counted.items()]
    if unknown := sum(one.known == Known.UNKNOWN and one.share_left > 0 for one in estimate.prices):
        lines.append(f"not in these numbers: {unknown} jobs without a record, on CPUs")
    if estimate.absent:
        lines.append(f"not in the plan: metrics of {', '.join(estimate.absent)}, whose weights are missing here")
    requested = max((one.shard.job.stage.memory_mb for one in estimate.prices), default=0)
    taken = max((read_record(record_path(one.shard.log)).get("peak_mb", 0) for one in estimate.prices), default=0)
    measured = f", and finished jobs took at most {readable_bytes(taken * 2**20)}" if taken else ""
    line = f"memory: a cluster job requests at most {readable_bytes(requested * 10**6)} for each process{measured}"
    of_gpu = max((one.gib for one in estimate.prices if one.gib is not None), default=None)
    lines.append(line if of_gpu is None else f"{line}; a job on a GPU needs up to {of_gpu:.1f} GiB there")
    if estimate.space:
        disk = f"disk: at most {readable_bytes(sum(estimate.space.values()))} more under results"
        most = max(estimate.space, key=lambda stage: estimate.space[stage])
        lines.append(f"{disk}, {readable_bytes(estimate.space[most])} of it by {most}")
    return [*lines, "never in these numbers: queues"]
