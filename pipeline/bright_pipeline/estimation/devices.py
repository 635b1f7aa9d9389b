"""Devices of an estimate, the cost of a model at work on them, and what does not fit one."""

import re
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import TRAINED, Config

TERA, GIBI = 1e12, 2**30
CONTEXT_GIB = 1.5  # assumed: CUDA's context, and the workspaces of its libraries
FRAGMENTATION = 1.05  # assumed: reserved over allocated memory
CPU = "cpu"
SLOWEST = "rtx3090"  # where a cluster's cards are unknown


@dataclass(frozen=True)
class Cost:
    """The cost of a model at work in a job (`bright_pipeline.engine.jobs.Use`)."""

    work: np.ndarray  # floating-point operations of all its convolutions, and of all matrix products
    peak: int = 0  # bytes on the device at most, in one step or batch
    batch: int = 1  # of one process
    precision: str = "fp32"
    processes: int = 1
    is_training: bool = False


# The shares of a device's peak that trainings reach. Tensor cores: published trainings on A100 reach 13 % (ADM-64 of
# Karras et al. 2022, 16 bits) to 16 % (LDM-8 and LDM-4 of Rombach et al. 2022, TF32). Plain 32 bits: StyleGAN2's
# authors reach 63 % of a V100. tests/estimation/test_anchors.py prices all four.
TENSOR_CORES, PLAIN = (0.10, 0.20), (0.30, 0.70)
GIVEN = (1.0, 1.0)
MEASURED_WITHIN = 1.2  # assumed: some steps of one size of a model, against whole trainings of all sizes


@dataclass(frozen=True)
class Device:
    """Peak rates in TFLOP/s without sparsity, and the shares of them that trainings here may reach."""

    name: str
    convolutions: float  # in 32 bits by PyTorch's defaults: TF32 here, but not in matrix products
    products: float
    half: float  # in 16 bits (`execution.precision`)
    bandwidth: float  # TB/s
    matches: str  # part of the name that the driver reports
    memory_gib: float | None = None  # None where it is unknown
    plain: tuple[float, float] = PLAIN
    measured: dict[str, float] = field(default_factory=dict)  # shares by use and precision, such as "train bf16"

    @property
    def is_gpu(self) -> bool:
        return self.name != CPU

    def shares(self, peak: float) -> tuple[float, float]:
        """The shares of this peak rate that trainings may reach.

        Tensor cores wait for memory: an A100's share holds for devices of the same ratio of bandwidth to peak. For
        others, the range extends to the share that the bandwidth alone would allow.
        """
        if self.plain == GIVEN or peak <= self.products:
            return self.plain
        a100 = DEVICES["a100"]
        ratio = self.bandwidth / a100.bandwidth * (a100.half if peak == self.half else a100.convolutions) / peak
        return TENSOR_CORES[0] * min(1.0, ratio), TENSOR_CORES[1] * max(1.0, ratio)

    def seconds(self, cost: Cost, use: str = "") -> np.ndarray:
        """Seconds on one device, or on one core of a CPU: a range, narrow where the GPU check measured this use."""
        in_half, in_tf32 = (self.half, self.half), (self.convolutions, self.convolutions)
        known = {"fp16": in_half, "bf16": in_half, "tf32": in_tf32}
        peaks = np.array(known.get(cost.precision, (self.convolutions, self.products)))
        seconds = cost.work / (peaks * TERA)
        if share := self.measured.get(f"{use} {cost.precision}"):
            return seconds.sum() / share * np.array([1 / MEASURED_WITHIN, MEASURED_WITHIN])
        return seconds @ [1 / np.array(self.shares(peak)[::-1]) for peak in peaks]

    def __str__(self) -> str:
        if self.plain == GIVEN:
            return f"{self.name}: {self.convolutions:g} TFLOP/s reached, as given"
        rates = {"convolutions": self.convolutions, "matrix products": self.products, "16 bits": self.half}
        ranges = ((what, peak, *self.shares(peak)) for what, peak in rates.items())
        return f"{self.name}: " + ", ".join(
            f"{low:.0%} to {high:.0%} of {peak:g} TFLOP/s in {what}" for what, peak, low, high in ranges
        )


DEVICES = {
    device.name: device
    for device in (
        Device("v100", 15.7, 15.7, 125, 0.9, "V100", 32),
        Device("a100", 156, 19.5, 312, 2.04, "A100", 80),
        Device("h100", 494, 67, 989, 3.35, "H100", 80),
        Device("rtx3090", 35.6, 35.6, 71, 0.94, "3090", 24),
        Device("rtx4090", 82.6, 82.6, 165, 1.01, "4090", 24),
        # One core with 256-bit vectors at 3 GHz.
        Device(CPU, 0.096, 0.096, 0.096, 0.02, CPU, plain=(0.25, 0.75)),
    )
}


def choose_device(name: str | None, tflops: float | None = None) -> Device:
    """A device by name, which may contain its memory; by default this machine's. tflops: the rate that it reaches."""
    if not (wanted := name):
        import torch

        wanted = torch.cuda.get_device_name() if torch.cuda.is_available() else CPU
    if tflops is not None:
        label = name or f"a GPU of {tflops:g} TFLOP/s"
        return Device(label, tflops, tflops, tflops, 1, label, _memory_in(wanted), GIVEN)
    if device := listed(wanted):
        return device
    known = ", ".join(DEVICES)
    raise InputError(f"--device: {wanted!r} is not in the table, which has {known}; give the rate it reaches, --tflops")


def listed(name: str) -> Device | None:
    """The device of the table that a name contains, with the memory in that name."""
    device = next((device for device in DEVICES.values() if device.matches.lower() in name.lower()), None)
    return device and replace(device, memory_gib=_memory_in(name) or device.memory_gib)


def _memory_in(name: str) -> float | None:
    """The GiB that a device's name contains."""
    found = re.search(r"(\d+) ?gi?b", name.lower())
    return float(found[1]) if found else None


def needed_gib(cost: Cost) -> float:
    """The memory that a GPU must have."""
    return cost.peak / GIBI * FRAGMENTATION + CONTEXT_GIB


def trainings(config: Config) -> dict[str, Any]:
    """The settings of each model that is trained, not imported, by entry (autoencoders.main)."""
    models = {f"{section}.{name}": one for section in TRAINED for name, one in getattr(config, section).items()}
    return {entry: one for entry, one in models.items() if getattr(one, "weights", None) is None}


def too_large(entry: str, cost: Cost, device: Device) -> list[str]:
    """A line if a job does not fit a device of known memory."""
    if device.memory_gib is None or needed_gib(cost) <= device.memory_gib:
        return []
    work, remedy = "batch", "lower micro_batch"
    if cost.is_training:
        work, remedy = "step", "use more GPUs (execution.gpus), smaller micro-batches (execution.micro_batch),"
        remedy += " checkpointing (execution.checkpointing) or 16 bits (execution.precision: bf16)"
    batch = f"{cost.precision}, a batch of {cost.batch} on each of {cost.processes} GPUs"
    line = f"{entry}: a {work} needs about {needed_gib(cost):.0f} GiB ({batch})"
    return [f"{line}, and {device.name} has {device.memory_gib:g}: {remedy}"]
