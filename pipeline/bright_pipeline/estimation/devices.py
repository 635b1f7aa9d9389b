"""Devices of an estimate, the work and memory of a training on them, and the trainings that do not fit one."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import TRAINED, Config

TERA, GIBI = 1e12, 2**30
CONTEXT_GIB = 1.5  # assumed: CUDA's context, and the workspaces of its libraries
FRAGMENTATION = 1.05  # assumed: reserved over allocated memory
CPU = "cpu"


@dataclass(frozen=True)
class Work:
    """Floating-point operations, by kind, since devices run the two at different rates."""

    convolutions: float = 0.0
    products: float = 0.0  # matrix products

    def __add__(self, other: "Work") -> "Work":
        return Work(self.convolutions + other.convolutions, self.products + other.products)

    def __mul__(self, factor: float) -> "Work":
        return Work(self.convolutions * factor, self.products * factor)

    @property
    def total(self) -> float:
        return self.convolutions + self.products


@dataclass(frozen=True)
class Cost:
    """Work and memory of one call on the device; memory in bytes."""

    operations: int  # about one kernel each
    work: Work  # floating-point operations, two for each multiply-accumulate of convolutions and matrix products
    kept: int  # the largest amount that graphs keep for their backward passes at one time
    peak: int  # the largest amount on the device at one time
    to_device: int
    to_host: int  # the number of copies


@dataclass(frozen=True)
class TrainingCost:
    """The cost of a training."""

    batch: int  # of one process
    processes: int
    precision: str
    parameters: int  # of all trained networks
    weights: int  # bytes on the device between steps: weights, gradients, the states of Adam, the EMA, frozen networks
    step: Cost  # of the kind of step with the largest peak
    work: Work  # of all steps and all processes


@dataclass(frozen=True)
class Device:
    """Peak rates in TFLOP/s without sparsity, and the share of them that trainings here are assumed to reach.

    The rates in 32 bits follow PyTorch's defaults: TF32 in convolutions, not in matrix products.
    """

    name: str
    convolutions: float
    products: float
    half: float  # in 16 bits (`execution.precision`)
    share: float
    matches: str  # part of the name that the driver reports
    memory_gib: float | None = None  # None where it is unknown

    @property
    def is_gpu(self) -> bool:
        return self.name != CPU

    def seconds(self, work: Work, precision: str = "fp32") -> float:
        """Seconds on one device, or on one core of a CPU."""
        if precision in ("fp16", "bf16"):
            return work.total / (self.half * self.share * TERA)
        if precision == "tf32":
            return work.total / (self.convolutions * self.share * TERA)
        return (work.convolutions / self.convolutions + work.products / self.products) / (self.share * TERA)

    def __str__(self) -> str:
        if self.share == 1:
            return f"{self.name}: {self.convolutions:g} TFLOP/s reached, as given"
        peaks = f"{self.convolutions:g} TFLOP/s"
        if self.is_gpu:
            peaks += f" in convolutions, {self.products:g} in matrix products, {self.half:g} in 16 bits"
        return f"{self.name}: {self.share:.0%} of a peak of {peaks}{'' if self.is_gpu else ' a core'}"


DEVICES = {
    device.name: device
    for device in (
        Device("a100", 156, 19.5, 312, 0.35, "A100", 80),
        Device("h100", 494, 67, 989, 0.25, "H100", 80),
        Device("rtx3090", 35.6, 35.6, 71, 0.45, "3090", 24),
        Device("rtx4090", 82.6, 82.6, 165, 0.4, "4090", 24),
        # One core with 256-bit vectors at 3 GHz.
        Device(CPU, 0.096, 0.096, 0.096, 0.5, CPU),
    )
}


def this_device() -> str:
    """This machine's device, by the driver's name."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else CPU


def choose_device(name: str | None, tflops: float | None) -> Device:
    """A device by name, which may contain its memory; by default this machine's. tflops: the rate that it reaches."""
    wanted = name or this_device()
    if tflops is not None:
        label = name or f"a GPU of {tflops:g} TFLOP/s"
        return Device(label, tflops, tflops, tflops, 1.0, label, _memory_in(wanted))
    if device := _in_table(wanted):
        return device
    known = ", ".join(DEVICES)
    raise InputError(f"--device: {wanted!r} is not in the table, which has {known}; give the rate it reaches, --tflops")


def choose_card(name: str) -> Device:
    """A device whose memory alone matters: one of the table, or any GPU whose name contains its memory."""
    if device := _in_table(name):
        return device
    if memory := _memory_in(name):
        return Device(name, 0, 0, 0, 1, name, memory)
    known = ", ".join(one.name for one in DEVICES.values() if one.memory_gib)
    raise InputError(f"--device: {name!r} is not in the table, which has {known}; add its memory, such as {name}-48gb")


def _in_table(name: str) -> Device | None:
    for device in DEVICES.values():
        if device.matches.lower() in name.lower():
            return replace(device, memory_gib=_memory_in(name) or device.memory_gib)
    return None


def _memory_in(name: str) -> float | None:
    """The GiB that a device's name contains."""
    found = re.search(r"(\d+) ?gi?b", name.lower())
    return float(found[1]) if found else None


def needed_gib(cost: TrainingCost) -> float:
    """The memory that a GPU must have for a training."""
    return cost.step.peak / GIBI * FRAGMENTATION + CONTEXT_GIB


def fits(cost: TrainingCost, device: Device) -> bool | None:
    """Whether a training fits a device; None where the device's memory is unknown."""
    return None if device.memory_gib is None else needed_gib(cost) <= device.memory_gib


def trainings(config: Config) -> dict[str, Any]:
    """The settings of each model that is trained, not imported, by entry (autoencoders.main)."""
    models = {f"{section}.{name}": one for section in TRAINED for name, one in getattr(config, section).items()}
    return {entry: one for entry, one in models.items() if getattr(one, "weights", None) is None}


def too_large(entry: str, cost: TrainingCost, device: Device) -> str:
    """The message for a training that does not fit a device."""
    return (
        f"{entry}: a step needs about {needed_gib(cost):.0f} GiB ({cost.precision}, a batch of {cost.batch} on"
        f" each of {cost.processes} GPUs), and {device.name} has {device.memory_gib:g}: use more GPUs"
        " (execution.gpus), smaller micro-batches (execution.micro_batch), checkpointing (execution.checkpointing)"
        " or 16 bits (execution.precision: bf16)"
    )


def memory_warnings(config: Config, entries: Iterable[str], card: str) -> list[str]:
    """`too_large` of those entries that train on GPUs; none for an unknown card (a profile's name, or the driver's)."""
    try:
        device = choose_card(card)
    except InputError:
        return []
    known = trainings(config)
    on_gpus = [entry for entry in entries if entry in known and known[entry].execution.gpus]
    if device.memory_gib is None or not on_gpus:
        return []
    with tempfile.TemporaryDirectory() as folder:
        # Counted in a process of its own: the planner imports no torch.
        written = Path(folder) / "config.json"
        written.write_text(config.model_dump_json())
        words = [sys.executable, "-m", "bright_pipeline.estimation.costs", str(written), card, *on_gpus]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
