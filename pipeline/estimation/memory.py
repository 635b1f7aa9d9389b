"""The memory that trainings need on a GPU, and the trainings that do not fit one.

`python -m pipeline.estimation.memory CONFIG CARD ENTRY...` prints a line for each entry that does not fit: the planner,
which imports no torch, counts steps in that process.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.base.errors import InputError
from pipeline.config.root import TRAINED, Config, read_config
from pipeline.estimation.devices import Device, TrainingCost, choose_card

GIBI = 2**30
CONTEXT_GIB = 1.5  # assumed: CUDA's context, and the workspaces of its libraries
FRAGMENTATION = 1.05  # assumed: reserved over allocated memory


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
        written = Path(folder) / "config.json"
        written.write_text(config.model_dump_json())
        words = [sys.executable, "-m", "pipeline.estimation.memory", str(written), card, *on_gpus]
        return subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()


def main(path: str, card: str, *entries: str) -> None:
    from pipeline.estimation.costs import training_cost
    from pipeline.estimation.fake_gpu import NotCounted

    config, device = read_config(Path(path)), choose_card(card)
    for entry in entries:
        try:
            cost = training_cost(config, trainings(config)[entry])
        except NotCounted:  # `bright estimate` reports it
            continue
        if fits(cost, device) is False:
            print(too_large(entry, cost, device))


if __name__ == "__main__":
    main(*sys.argv[1:])
