"""The estimate of a config's run: time, memory and disk, as tables for people."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from tabulate import tabulate

from bright_pipeline.base.amounts import readable_bytes, readable_duration
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.engine.jobs import planned
from bright_pipeline.estimation.devices import CONTEXT_GIB, FRAGMENTATION, Device, too_large
from bright_pipeline.estimation.prices import JobPrice, Known, job_prices, longest_chain
from bright_pipeline.models.metric_networks.manifest import available, fetchable
from bright_pipeline.settings.quantities import IMAGE_NETWORKS
from bright_pipeline.stages import all_stages
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import known_images

HOUR = 3600


@dataclass(frozen=True)
class Estimate:
    """The estimate of a config's run on so many GPUs."""

    jobs: Jobs
    config: str  # its readable name
    device: Device
    gpus: int

    @cached_property
    def prices(self) -> list[JobPrice]:
        return job_prices(self.jobs, self.device)

    @property
    def too_large(self) -> list[str]:
        """A line for each entry with a job that does not fit the device."""
        largest = {one.shard.job.entry: one.largest for one in self.prices if one.largest}
        return [line for entry, cost in sorted(largest.items()) for line in too_large(entry, cost, self.device)]


def text(estimate: Estimate) -> str:
    """The estimate as lines for a terminal."""
    rows = []
    for stage in all_stages():
        of_stage = [one for one in estimate.prices if one.shard.job.stage.name == stage]
        rows += [_sums(stage, of_stage)] if of_stage else []
        for entry in sorted({one.shard.job.entry for one in of_stage if one.largest}):
            prices = [one for one in of_stage if one.shard.job.entry == entry]
            if prices[0].shard.job.is_training or total(prices, whole=True)[1] >= HOUR:
                rows.append(_sums(f"- {entry}", prices))
    rows.append(_sums("total", estimate.prices))
    header = ["stage", "jobs", "hours", "GPU-hours", "GPU memory", "known by"]
    if not estimate.device.is_gpu:
        header, *rows = ([*row[:3], *row[5:]] for row in (header, *rows))
    lines = [f"{estimate.config} on {estimate.device.name}; missing / whole where they differ", ""]
    align = {"stralign": "right", "colalign": ["left"], "disable_numparse": True}
    lines += [tabulate(rows, header, tablefmt="simple", **align), ""]
    # Lower bounds: the longest chain, and all work shared by all devices.
    if any(one.share_left for one in estimate.prices):
        seconds, chain = longest_chain(estimate.jobs(planned).values(), estimate.prices)
        names = " > ".join(f"{job.stage.name} {job.label}" for job in chain) or "none of known time"
        lines.append(f"At least {readable_duration(seconds)}, the longest chain of jobs: {names}.")
        missing = total(estimate.prices, of_gpus=estimate.device.is_gpu) / estimate.gpus
        durations = " to ".join(dict.fromkeys(map(readable_duration, missing)))
        shared = f", the GPU-hours shared by {estimate.gpus} GPU{'s' * (estimate.gpus > 1)}"
        lines.append(f"{durations}{shared if estimate.device.is_gpu else ' where one job runs after the other'}.")
    else:
        lines.append("Nothing is missing.")
    return "\n".join([*lines, "", *(f"- {line}" for line in (*estimate.too_large, *notes(estimate)))])


def total(prices: list[JobPrice], of_gpus: bool = True, whole: bool = False) -> np.ndarray:
    """Seconds of these jobs, missing ones or all, multiplied by their GPUs or not."""
    times = [(one.whole_s if whole else one.missing_s) * (one.gpus if of_gpus else 1) for one in prices]
    return np.sum(times, axis=0) if times else np.zeros(2)


def _sums(name: str, prices: list[JobPrice]) -> list[str]:
    """A row of the table: numbers of the missing jobs and of all, and the sources of their times."""
    known = Counter(one.known for one in prices)
    basis = ", ".join(f"{count} {how}" for how, count in known.items()) if len(known) > 1 else "".join(known)
    counts = dict.fromkeys([str(sum(one.share_left > 0 for one in prices)), str(len(prices))])
    memory = max((one.gib for one in prices if one.gib), default=0)
    times = []
    for of_gpus in (False, True):
        missing, whole = (total(prices, of_gpus, every) for every in (False, True))
        times.append(" / ".join(dict.fromkeys([hours(missing), hours(whole)])) if whole.any() else "")
    return [name, " / ".join(counts), *times, f"{memory:.1f} GiB" if memory else "", basis]


def hours(seconds: np.ndarray) -> str:
    """A range of hours; one number where its ends are the same."""
    return " to ".join(dict.fromkeys(f"{h:,.0f}" if h >= 10 else f"{h:.2g}" for h in seconds / HOUR))


def notes(estimate: Estimate) -> list[str]:
    """The assumptions behind the numbers, and what they leave out, a line each."""
    from bright_pipeline.estimation.space import missing_space  # imports torch

    jobs, prices = estimate.jobs, estimate.prices
    lines = [
        f"{name}: {images.train:,} images for training, {images.validation:,} for validation ({images.known_from})"
        for name, images in jobs(known_images).items()
    ]
    if any(one.known == Known.COUNTED for one in prices):
        omitted = f"{'a start of a minute; ' * estimate.device.is_gpu}without waits for images, and without previews"
        lines.append(f"jobs without a record: the operations of their models at {estimate.device}; {omitted}")
    lines += [*dict.fromkeys(f"{one.shard.job.entry}: not counted: {one.problem}" for one in prices if one.problem)]
    if unknown := sum(one.known == Known.UNKNOWN and one.share_left > 0 for one in prices):
        lines.append(f"not in these numbers: {unknown} jobs without a record, on CPUs")
    networks = [] if jobs.every_network else [*IMAGE_NETWORKS, *jobs.config.evaluation.networks]
    if absent := [name for name in networks if not (available(name, NETWORKS) or fetchable(name))]:
        lines.append(f"not in the plan: metrics of {', '.join(absent)}, whose weights are missing here")
    requested = max((one.shard.job.stage.memory_mb for one in prices), default=0)
    lines.append(f"memory: a cluster job requests at most {readable_bytes(requested * 10**6)} for each process")
    if estimate.device.is_gpu:
        extra = f"{FRAGMENTATION - 1:.0%} and {CONTEXT_GIB:g} GiB (assumed) for PyTorch's allocator and CUDA"
        lines.append(f"memory of a GPU: the peak of a step or a batch, {extra}")
    if space := missing_space(jobs):
        most = max(space, key=lambda stage: space[stage])
        of_most = f"{readable_bytes(space[most])} of it by {most}"
        lines.append(f"disk: at most {readable_bytes(sum(space.values()))} more under results, {of_most}")
    return [*lines, "never in these numbers: queues"]
