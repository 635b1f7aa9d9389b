"""Devices and the rates that an estimate reckons with: the makers' peaks, and an assumed share of them."""

import re
from dataclasses import dataclass, replace

from pipeline.base.errors import InputError

TERA = 1e12
CPU = "cpu"


@dataclass(frozen=True)
class Work:
    """Floating-point operations, apart because devices do them at different rates."""

    convolutions: float = 0.0
    products: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.convolutions + other.convolutions, self.products + other.products)

    def __mul__(self, times: float) -> "Work":
        return Work(self.convolutions * times, self.products * times)

    @property
    def total(self) -> float:
        return self.convolutions + self.products


@dataclass(frozen=True)
class Device:
    """Peak rates in TFLOP/s without sparsity, and the share of them that trainings here are assumed to reach.

    PyTorch's defaults decide which peak counts in 32 bits: convolutions may use TF32, matrix products not.
    """

    name: str
    convolutions: float
    products: float
    half: float
    """In 16 bits (`execution.precision`)."""
    share: float
    matches: str
    """What the name that the driver gives has in it."""
    memory_gib: float | None = None
    """None: not known, or the machine's."""

    @property
    def is_gpu(self) -> bool:
        return self.name != CPU

    def seconds(self, work: Work, precision: str = "fp32") -> float:
        """Seconds of one device, or of one core."""
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
    """This machine's device, as the driver names it."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else CPU


def _told_memory(name: str) -> float | None:
    """GiB that a name says."""
    told = re.search(r"(\d+) ?gi?b", name.lower())
    return float(told[1]) if told else None


def choose_card(name: str) -> Device:
    """A device for its memory alone: one of the table, or any GPU whose name says its memory."""
    try:
        return choose_device(name, None)
    except InputError:
        if told := _told_memory(name):
            return Device(name, 0, 0, 0, 1, name, told)
        known = ", ".join(one.name for one in DEVICES.values() if one.memory_gib)
        raise InputError(
            f"--device: {name!r} is not in the table, which has {known}; say its memory too, such as {name}-48gb"
        ) from None


def choose_device(name: str | None, tflops: float | None) -> Device:
    """The device of a name (the driver's or the table's), else this machine's; `tflops`: a reached rate.

    A name may say its memory, as the driver's do: a100-40gb, NVIDIA A100-SXM4-40GB.
    """
    if tflops is not None:
        wanted = name or f"a GPU of {tflops:g} TFLOP/s"
        return Device(wanted, tflops, tflops, tflops, 1.0, wanted)
    wanted = name or this_device()
    for device in DEVICES.values():
        if device.matches.lower() in wanted.lower():
            told = _told_memory(wanted)
            return replace(device, memory_gib=told) if told else device
    known = ", ".join(DEVICES)
    raise InputError(f"--device: {wanted!r} is not in the table, which has {known}; give the rate it reaches, --tflops")
