"""Which trainings of a config fit a GPU, as far as their steps' counted memory tells."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tabulate import tabulate

from pipeline.base.errors import InputError
from pipeline.base.parsing import read_json
from pipeline.config.root import MODELS, Config
from pipeline.estimation.devices import Device, choose_card

if TYPE_CHECKING:
    from pipeline.estimation.costs import ModelCost

GIBI, TERA, MILLION = 2**30, 1e12, 1e6
CONTEXT_GIB = 1.5
"""Assumed: CUDA's context, and the workspaces of its libraries."""
SCATTERED = 1.05
"""Assumed: memory that lies between others, over what is held."""


@dataclass(frozen=True)
class TrainingCost:
    """A training's cost, or why it was not counted."""

    entries: tuple[str, ...]
    """Whose training it is: those that are alike."""
    precision: str
    gpus: int
    cost: "ModelCost | None"
    problem: str | None = None

    @property
    def peak_gib(self) -> float | None:
        """What a GPU must have, with what no count sees."""
        return None if self.cost is None else self.cost.step.peak / GIBI * SCATTERED + CONTEXT_GIB

    def fits(self, device: Device) -> bool | None:
        """Whether a device has so much; None where that is not known."""
        if self.peak_gib is None or device.memory_gib is None:
            return None
        return self.peak_gib <= device.memory_gib


def trainings(config: Config, entries: Iterable[str] | None = None) -> dict[str, Any]:
    """Settings of what is trained on a GPU, by entry (autoencoders.main); of these entries, or of all."""
    found = {f"{section}.{name}": one for section in MODELS for name, one in getattr(config, section).items()}
    trained = {entry: one for entry, one in found.items() if _is_trained(one)}
    return trained if entries is None else {entry: one for entry, one in trained.items() if entry in set(entries)}


def _is_trained(settings: Any) -> bool:
    execution = getattr(settings, "execution", None)
    return execution is not None and getattr(settings, "weights", None) is None


def training_costs(
    config: Config, entries: Iterable[str] | None = None, uses: bool = False, done: Callable[[int], None] | None = None
) -> Iterator[TrainingCost]:
    """Each kind of training once; `done` is called with the number of entries that are."""
    from pipeline.estimation.costs import image_shape, model_cost
    from pipeline.estimation.fake_gpu import HostWaits

    alike: dict[str, list[str]] = {}
    settings = trainings(config, entries)
    for entry, one in settings.items():
        codes_of = getattr(one, "autoencoder", None)
        stands_on = config.autoencoders[codes_of].architecture() if codes_of else None
        shape = image_shape(config, one)
        told = one.model_dump(mode="json", exclude={"seed", "dataset", "autoencoder"})
        alike.setdefault(json.dumps([told, stands_on, shape], sort_keys=True), []).append(entry)
    for names in alike.values():
        one = settings[names[0]]
        cost, problem = None, None
        try:
            cost = model_cost(config, one, uses)
        except HostWaits as error:
            problem = str(error)
        execution = one.execution
        yield TrainingCost(tuple(names), execution.precision, execution.processes, cost, problem)
        if done is not None:
            done(len(names))


def text(costs: list[TrainingCost], device: Device | None) -> str:
    """A table for people: one step of each training, on one GPU."""
    header = ["training", "batch", "precision", "parameters", "operations", "TFLOP", "kept", "peak"]
    rows = [_row(one, device) for one in costs]
    if device is not None and device.memory_gib is not None:
        header.append(f"fits {device.name} ({device.memory_gib:g} GiB)")
    table = tabulate(rows, header, tablefmt="simple", stralign="right", colalign=("left",), disable_numparse=True)
    notes = [
        "One step of one GPU's share of the batch, optimizer included. operations: about one kernel each; kept: for",
        f"the backward pass; peak: all that lies on the GPU, and {SCATTERED - 1:.0%} and {CONTEXT_GIB:g} GiB (assumed)",
        "for PyTorch's allocator and CUDA's libraries. How long a step takes, `bright estimate` tells.",
    ]
    return "\n".join([table, "", *notes])


def _row(one: TrainingCost, device: Device | None) -> list[str]:
    name = one.entries[0] + (f" and {len(one.entries) - 1} alike" if len(one.entries) > 1 else "")
    if one.cost is None:
        return [name, "", one.precision, "", f"not counted: {one.problem}"]
    step = one.cost.step
    verdict = {True: "yes", False: "no", None: "not known"}
    return [
        name,
        str(one.cost.batch),
        one.precision,
        f"{one.cost.parameters / MILLION:.1f}M",
        f"{step.operations:,}",
        f"{step.flops / TERA:.1f}",
        f"{step.kept / GIBI:.1f} GiB",
        f"{one.peak_gib:.1f} GiB",
        *([] if device is None or device.memory_gib is None else [verdict[one.fits(device)]]),
    ]


def too_large(costs: Iterable[TrainingCost], device: Device) -> list[str]:
    """A line for each training that the device has no room for."""
    return [
        f"{entry}: a step needs about {one.peak_gib:.0f} GiB ({one.precision}, {one.cost.batch} of a batch on"
        f" each of {one.gpus} GPUs), and {device.name} has {device.memory_gib:g}: let more GPUs share the batch"
        " (execution.gpus), or set execution.precision to bf16"
        for one in costs
        if one.cost is not None and one.fits(device) is False
        for entry in one.entries
    ]


def memory_warnings(config: Config, entries: Iterable[str], card: str) -> list[str]:
    """`too_large` of those entries that train on GPUs, on a card as a profile or a driver names it.

    They are counted in a process of its own, since the planner imports no torch; of an unknown card nothing is said.
    """
    try:
        device = choose_card(card)
    except InputError:
        return []
    on_gpus = [entry for entry, one in trainings(config, entries).items() if one.execution.gpus]
    if device.memory_gib is None or not on_gpus:
        return []
    with tempfile.TemporaryDirectory() as folder:
        written, found = Path(folder) / "config.json", Path(folder) / "costs.json"
        written.write_text(config.model_dump_json())
        words = [sys.executable, "-m", "pipeline.commands.cost", str(written), *on_gpus]
        subprocess.run([*words, "--device", card, "--json", str(found)], capture_output=True, check=False)
        return read_json(found, card)["too_large"] if found.exists() else []


def facts(costs: list[TrainingCost], device: Device | None) -> dict[str, Any]:
    """As JSON values; bytes."""
    return {
        "device": None if device is None else {"name": device.name, "memory_gib": device.memory_gib},
        "too_large": [] if device is None else too_large(costs, device),
        "assumed": {"context_gib": CONTEXT_GIB, "scattered": SCATTERED},
        "trainings": [
            asdict(one) | {"peak_gib": one.peak_gib, "fits": None if device is None else one.fits(device)}
            for one in costs
        ],
    }
