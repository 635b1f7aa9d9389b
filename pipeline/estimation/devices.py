"""Devices of an estimate, and the work and memory of a training on them."""

import re
from dataclasses import dataclass, replace

from pipeline.base.errors import InputError

TERA = 1e12
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
