"""An estimate as a table for people, and as JSON."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from pipeline.base.amounts import readable_bytes, readable_duration
from pipeline.estimation.costs import ASSUMPTIONS
from pipeline.estimation.devices import CPU, DEVICES, Device
from pipeline.estimation.images import ImageCounts
from pipeline.estimation.schedule import Schedule
from pipeline.estimation.tasks import Task
from pipeline.plan.stages import STAGES

HOUR = 3600


@dataclass(frozen=True)
class Estimate:
    """All that the command prints."""

    config: str
    device: Device
    gpus: int
    cores: int
    tasks: list[Task]
    images: dict[str, ImageCounts]
    missing: Schedule
    whole: Schedule
    remarks: list[str]

    @property
    def rules(self) -> list[str]:
        """The stages, in the order that data flows."""
        present = {task.job.stage for task in self.tasks}
        return [stage for stage in STAGES if stage in present]


def facts(estimate: Estimate) -> dict[str, Any]:
    """The estimate as JSON values; times in seconds, sizes in bytes."""
    return {
        "config": estimate.config,
        "device": str(estimate.device),
        "gpus": estimate.gpus,
        "cores": estimate.cores,
        "images": {
            name: {"train": found.train, "validation": found.validation, "known_from": found.known_from}
            for name, found in estimate.images.items()
        },
        "wall_s": {"missing": estimate.missing.seconds, "whole": estimate.whole.seconds},
        "longest_chain_s": {"missing": estimate.missing.longest_chain_s, "whole": estimate.whole.longest_chain_s},
        "rules": {rule: _sums([task for task in estimate.tasks if task.job.stage == rule]) for rule in estimate.rules},
        "total": _sums(estimate.tasks),
        "jobs": [_job(task) for task in estimate.tasks],
        "assumed": assumptions(estimate),
    }


def _job(task: Task) -> dict[str, Any]:
    return {
        "job": task.log_name,
        "seconds": task.seconds,
        "seconds_missing": task.seconds_left,
        "bytes": task.size,
        "gpus": task.gpus,
        "cores": task.cores,
        "known": task.basis,
    }


def _sums(tasks: list[Task]) -> dict[str, Any]:
    missing = [task for task in tasks if task.share_left]
    return {
        "jobs": {"missing": len(missing), "whole": len(tasks)},
        "gpu_s": {
            "missing": sum(task.seconds_left * task.gpus for task in missing),
            "whole": sum(task.seconds * task.gpus for task in tasks),
        },
        "cpu_s": {
            "missing": sum(task.seconds_left * task.cores for task in missing if not task.gpus),
            "whole": sum(task.seconds * task.cores for task in tasks if not task.gpus),
        },
        "bytes": {
            "missing": sum(task.size_left for task in missing),
            "whole": sum(task.size for task in tasks),
        },
        "known": dict(Counter(task.basis for task in tasks)),
    }


def text(estimate: Estimate) -> str:
    """The estimate as lines for a terminal."""
    found = facts(estimate)
    rows = [_row(rule, sums) for rule, sums in found["rules"].items() if _worth_a_line(sums)]
    small = [rule for rule, sums in found["rules"].items() if not _worth_a_line(sums)]
    header = ["rule", "jobs", "GPU-hours", "CPU-hours", "disk", "known"]
    rows.append(_row("total", found["total"]))
    if not estimate.device.is_gpu:
        header, *rows = ([*row[:2], *row[3:]] for row in (header, *rows))
    lines = [
        f"{estimate.config} on {estimate.device.name}; missing / whole where they differ",
        "",
        tabulate(rows, header, tablefmt="simple", stralign="right", colalign=("left",), disable_numparse=True),
        "",
        _wall(estimate),
        *([f"In the total, too small for a line: {', '.join(small)}."] if small else []),
        "Assumed:",
        *(f"- {line}" for line in assumptions(estimate)),
    ]
    return "\n".join(lines)


def _worth_a_line(sums: dict[str, Any]) -> bool:
    """A minute, or ten megabytes."""
    return sums["gpu_s"]["whole"] + sums["cpu_s"]["whole"] > 60 or sums["bytes"]["whole"] > 1e7


def _row(name: str, sums: dict[str, Any]) -> list[str]:
    known = sums["known"]
    return [
        name,
        _pair(sums["jobs"], str),
        _pair(sums["gpu_s"], _hours),
        _pair(sums["cpu_s"], _hours),
        _pair(sums["bytes"], readable_bytes),
        ", ".join(f"{count} {basis}" for basis, count in known.items()) if len(known) > 1 else "".join(known),
    ]


def _pair(found: dict[str, Any], readable: Callable[[Any], str]) -> str:
    missing, whole = readable(found["missing"]), readable(found["whole"])
    return "" if not found["whole"] else whole if missing == whole else f"{missing} / {whole}"


def _hours(seconds: float) -> str:
    hours = seconds / HOUR
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def _wall(estimate: Estimate) -> str:
    where = f"{estimate.cores} cores"
    if estimate.device.is_gpu:
        where = f"{estimate.gpus} GPU{'s' * (estimate.gpus > 1)} and {where}"
    if not any(task.share_left for task in estimate.tasks):
        return f"Nothing is missing. Wall time of the whole with {where}: {readable_duration(estimate.whole.seconds)}."
    times = {"missing": estimate.missing.seconds, "whole": estimate.whole.seconds}
    wall = _pair(times, readable_duration)
    chain = " > ".join(f"{job.stage} {job.label}" for job in estimate.missing.chain)
    return (
        f"Wall time with {where}: {wall}.\n"
        f"The longest chain of jobs, which no more of them shorten, takes"
        f" {readable_duration(estimate.missing.longest_chain_s)}: {chain}."
    )


def assumptions(estimate: Estimate) -> list[str]:
    """What the numbers rest on, a line each."""
    known = Counter(task.basis for task in estimate.tasks)
    lines = [
        f"{name}: {found.train:,} images for training, {found.validation:,} for validation ({found.known_from})"
        for name, found in estimate.images.items()
    ]
    if known["estimated"] or known["extrapolated"]:
        lines.append(
            f"{estimate.device}{'' if estimate.device.is_gpu else ' a core'}; the models' operations are counted"
        )
        if estimate.device.is_gpu:
            lines.append(f"jobs without a GPU: {DEVICES[CPU]} a core")
        lines += ASSUMPTIONS
    return lines + estimate.remarks
