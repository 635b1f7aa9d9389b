"""Devices of an estimate, the work and memory of a training on them, and the trainings that do not fit one."""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import TRAINED, Config

TERA, GIBI = 1e12, 2**30
CONTEXT_GIB = 1.5  # assumed: CUDA's context, and the workspaces of its libraries
FRAGMENTATION = 1.05  # assumed: reserved over allocated memory
CPU = "cpu"
SLOWEST = "rtx3090"  # where a cluster's cards are unknown


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
class UseCost:
    """The cost of a model at work in a job (`bright_pipeline.engine.jobs.Use`)."""

    batch: int  # of one process
    processes: int
    precision: str
    parameters: int  # of all trained networks; 0 without training
    weights: int  # bytes on the device between steps: weights, gradients, the states of Adam, the EMA, frozen networks
    step: Cost  # of the kind of step with the largest peak, or of one batch
    work: Work  # of all steps and all processes, or of all items


# The shares of a device's peak that trainings reach. Tensor cores: published trainings on A100 reach 13 % (ADM-64 of
# Karras et al. 2022, 16 bits) to 16 % (LDM-8 and LDM-4 of Rombach et al. 2022, TF32). Plain 32 bits: StyleGAN2's
# authors reach 63 % of a V100. tests/estimation/test_anchors.py prices all four.
TENSOR_CORES, PLAIN = (0.10, 0.20), (0.30, 0.70)
GIVEN = (1.0, 1.0)
MEASURED_WITHIN = 1.2  # assumed: some steps of one size of a model, against whole trainings of all sizes


@dataclass(frozen=True)
class Device:
    """Peak rates in TFLOP/s without sparsity, and the shares of them that trainings here may reach.

    The rates in 32 bits follow PyTorch's defaults: TF32 in convolutions, not in matrix products.
    """

    name: str
    convolutions: float
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

    def seconds(self, work: Work, precision: str = "fp32", use: str = "") -> tuple[float, float]:
        """Seconds on one device, or on one core of a CPU: a range, narrow where the GPU check measured this use."""
        if precision in ("fp16", "bf16"):
            parts = [(work.total, self.half)]
        elif precision == "tf32":
            parts = [(work.total, self.convolutions)]
        else:
            parts = [(work.convolutions, self.convolutions), (work.products, self.products)]
        if share := self.measured.get(f"{use} {precision}"):
            seconds = sum(done / (peak * share * TERA) for done, peak in parts)
            return seconds / MEASURED_WITHIN, seconds * MEASURED_WITHIN
        low, high = (sum(done / (peak * self.shares(peak)[way] * TERA) for done, peak in parts) for way in (1, 0))
        return low, high

    def __str__(self) -> str:
        if self.plain == GIVEN:
            return f"{self.name}: {self.convolutions:g} TFLOP/s reached, as given"
        rates = {"convolutions": self.convolutions, "matrix products": self.products, "16 bits": self.half}
        words = [
            f"{low:.0%} to {high:.0%} of {peak:g} TFLOP/s in {what}"
            for what, peak in rates.items()
            for low, high in [self.shares(peak)]
        ]
        return f"{self.name}: {', '.join(words if self.is_gpu else words[:1])}{'' if self.is_gpu else ', a core'}"


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


def this_device() -> str:
    """This machine's device, by the driver's name."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else CPU


def choose_device(name: str | None, tflops: float | None) -> Device:
    """A device by name, which may contain its memory; by default this machine's. tflops: the rate that it reaches."""
    wanted = name or this_device()
    if tflops is not None:
        label = name or f"a GPU of {tflops:g} TFLOP/s"
        return Device(label, tflops, tflops, tflops, 1, label, _memory_in(wanted), GIVEN)
    if device := _in_table(wanted):
        return device
    known = ", ".join(DEVICES)
    raise InputError(f"--device: {wanted!r} is not in the table, which has {known}; give the rate it reaches, --tflops")


def choose_card(name: str) -> Device:
    """A device whose memory alone matters: one of the table, or any GPU whose name contains its memory."""
    if device := _in_table(name):
        return device
    if memory := _memory_in(name):
        return Device(name, 0, 0, 0, 1, name, memory, GIVEN)
    known = ", ".join(one.name for one in DEVICES.values() if one.memory_gib)
    raise InputError(f"--device: {name!r} is not in the table, which has {known}; add its memory, such as {name}-48gb")


def memory_of_card(name: str) -> float:
    """The GiB of a card; infinite for an unknown one."""
    try:
        return choose_card(name).memory_gib or math.inf
    except InputError:
        return math.inf


def _in_table(name: str) -> Device | None:
    for device in DEVICES.values():
        if device.matches.lower() in name.lower():
            return replace(device, memory_gib=_memory_in(name) or device.memory_gib)
    return None


def _memory_in(name: str) -> float | None:
    """The GiB that a device's name contains."""
    found = re.search(r"(\d+) ?gi?b", name.lower())
    return float(found[1]) if found else None


def needed_gib(cost: UseCost) -> float:
    """The memory that a GPU must have for a training."""
    return cost.step.peak / GIBI * FRAGMENTATION + CONTEXT_GIB


def fits(cost: UseCost, device: Device) -> bool | None:
    """Whether a training fits a device; None where the device's memory is unknown."""
    return None if device.memory_gib is None else needed_gib(cost) <= device.memory_gib


def trainings(config: Config) -> dict[str, Any]:
    """The settings of each model that is trained, not imported, by entry (autoencoders.main)."""
    models = {f"{section}.{name}": one for section in TRAINED for name, one in getattr(config, section).items()}
    return {entry: one for entry, one in models.items() if getattr(one, "weights", None) is None}


def too_large(entry: str, cost: UseCost, device: Device) -> str:
    """The message for a job that does not fit a device."""
    helps = (
        "use more GPUs (execution.gpus), smaller micro-batches (execution.micro_batch), checkpointing"
        " (execution.checkpointing) or 16 bits (execution.precision: bf16)"
    )
    return (
        f"{entry}: a {'step' if cost.parameters else 'batch'} needs about {needed_gib(cost):.0f} GiB ({cost.precision},"
        f" a batch of {cost.batch} on each of {cost.processes} GPUs), and {device.name} has {device.memory_gib:g}:"
        f" {helps if cost.parameters else 'lower micro_batch'}"
    )


def plan_prices(config: Config, cards: Iterable[str]) -> dict[str, tuple[float | None, int | None]]:
    """Seconds at most, and MiB on each GPU, of each shard by its log's name, on the slowest of a cluster's cards."""
    known = [card for card in cards if _in_table(card)] or [SLOWEST]
    with tempfile.TemporaryDirectory() as folder:
        # Counted in a process of its own, with this code: the planner imports no torch, and another version may be
        # installed than the one that makes the plan.
        search = os.pathsep.join(filter(None, [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH")]))
        environment = os.environ | {"PYTHONPATH": search}
        written = Path(folder) / "config.json"
        written.write_text(config.model_dump_json())
        words = [sys.executable, "-P", "-m", "bright_pipeline.estimation.prices", str(written), *dict.fromkeys(known)]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, env=environment)
    if done.returncode:
        print("warning: the prices of jobs are unknown: they request the profile's time", file=sys.stderr)
        return {}
    return dict(json.loads(done.stdout))
