"""Whether a card computes what the CPU's readable code says: retrieval, training steps, resuming, two processes."""

import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from accelerate.state import AcceleratorState
from pydantic import ValidationError
from safetensors.torch import load_file
from torch import Tensor

from pipeline.base.launch import command
from pipeline.data.archive import ArchiveWriter, image_name
from pipeline.gpu_check.findings import Finding, State, guarded
from pipeline.gpu_check.sizes import Sizes, changed, families, make_task, without_perceptual
from pipeline.models.hash_tables import HashTableGroups
from pipeline.settings.autoencoder import HashTables
from pipeline.training.loop import Loop, make_accelerator

PRECISIONS = ("fp32", "bf16", "fp16")
SIDE = 16  # of the feature block in which strategies are compared
CLOSE = {"cpu": 1e-5, "cuda": 1e-4}
"""How far strategies may differ: tiny-cuda-nn's float32 scale is 5e-5 off."""
STEPS, KILLED_AT = 6, 3
ALIKE = 1e-4  # weights of two processes and of one, or of a resumed training where a card's sums vary


def strategies() -> list[str]:
    """All that a config may ask for by name, the readable one first."""
    names = [name for name in get_args(HashTables.model_fields["retrieval"].annotation) if name != "auto"]
    return sorted(names, key=lambda name: name != "gather")


def groups_of_tables(strategy: str, key_length: int, side: int, device: torch.device) -> HashTableGroups | str:
    """Tables of the paper's size with this strategy; a line where it cannot run here."""
    try:
        settings = HashTables.model_validate({"retrieval": strategy, "key_length": key_length})
    except ValidationError:
        return f"not for C_key = {key_length}"
    torch.manual_seed(0)
    tables = HashTableGroups(settings, 4 // key_length, side).to(device)
    used = tables.strategy(torch.rand(1, 4 // key_length, key_length, side, side, device=device))
    return tables if used.name == strategy else f"{used.name} runs in its place on this device"


def check_strategies(device: torch.device, _: Sizes) -> Iterator[Finding]:
    """Values and gradients of each strategy against gather's, for unit keys of one and of two numbers."""
    for key_length in (1, 2):
        expected = _retrieved("gather", key_length, device)
        for strategy in strategies()[1:]:
            what = f"{strategy}, C_key {key_length}"
            yield guarded("retrieval", what, partial(_equal, strategy, key_length, what, expected, device))


def _equal(strategy: str, key_length: int, what: str, expected: Any, device: torch.device) -> Finding:
    found = _retrieved(strategy, key_length, device)
    if isinstance(found, str):
        return Finding("retrieval", what, State.NOT_CHECKED, found)
    names = ("values", "gradient of tables", "gradient of keys")
    apart = {name: _difference(one, other) for name, one, other in zip(names, found, expected, strict=True)}
    state = State.RIGHT if max(apart.values()) <= CLOSE[device.type] else State.WRONG
    return Finding("retrieval", what, state, "differences from gather", apart)


def _retrieved(strategy: str, key_length: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor] | str:
    tables = groups_of_tables(strategy, key_length, SIDE, device)
    if isinstance(tables, str):
        return tables
    generator = torch.Generator().manual_seed(1)
    code = torch.rand(2, 4, SIDE, SIDE, generator=generator)
    code[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    keys = code.to(device).requires_grad_()
    features = tables.retrieve(keys)
    features.backward(torch.randn(features.shape, generator=generator).to(device))
    assert tables.tables.grad is not None
    assert keys.grad is not None
    return features.detach(), tables.tables.grad, keys.grad


def _difference(one: Tensor, other: Tensor) -> float:
    """Of two tensors, relative to the second."""
    return float((one - other).double().norm() / other.double().norm().clamp_min(1e-30))


def check_steps(device: torch.device, sizes: Sizes) -> Iterator[Finding]:
    """Two steps of each family in each precision: finite numbers, weights that move; seconds and peak memory."""
    for family, (sort, settings) in families(sizes.config).items():
        for precision in PRECISIONS:
            how = changed(settings, sizes.batch, precision=precision)
            what = f"{family}, {precision}, batch {how.training.batch}"
            yield guarded("training step", what, partial(_steps, sizes, sort, how, what, device))


def _steps(sizes: Sizes, sort: str, settings: Any, what: str, device: torch.device) -> Finding:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    with tempfile.TemporaryDirectory() as work:
        task = make_task(sizes.config, sort, settings, fresh_accelerator(settings, Path(work)))
    before = [p.detach().clone() for p in task.model.parameters()]
    task.start(0)
    task.step(0)
    started = time.perf_counter()
    numbers = {name: float(value) for name, value in task.step(1).items()}
    seconds = time.perf_counter() - started
    infinite = [name for name, value in numbers.items() if value != value or abs(value) == float("inf")]
    moved = any(not torch.equal(one, p.detach()) for one, p in zip(before, task.model.parameters(), strict=True))
    moved = moved or task.skipped("model")
    measured = {"s": seconds}
    if device.type == "cuda":
        measured["GiB"] = torch.cuda.max_memory_allocated(device) / 2**30
    if infinite or not moved:
        problem = f"not finite: {', '.join(infinite)}" if infinite else "no weight moves"
        return Finding("training step", what, State.WRONG, problem, measured)
    return Finding("training step", what, State.RIGHT, "", measured)


def fresh_accelerator(settings: Any, work: Path) -> Any:
    """accelerate keeps one precision for a process: forgotten, so that the next training may have another."""
    AcceleratorState._reset_state(True)
    return make_accelerator(settings.execution, work)


class Killed(BaseException):
    """Ends a training without any of its own code running."""


def check_resume(device: torch.device, sizes: Sizes) -> Iterator[Finding]:
    """BRIGHT's autoencoder, killed in the middle and started again, against one that was not."""
    what = f"BRIGHT, killed at step {KILLED_AT} of {STEPS}"
    yield guarded("resume", what, lambda: _resumed(sizes, what))


def _resumed(sizes: Sizes, what: str) -> Finding:
    settings = _short(sizes)
    with tempfile.TemporaryDirectory() as folder:
        whole = _trained(sizes, settings, Path(folder) / "whole")
        with suppress(Killed):
            _trained(sizes, settings, Path(folder) / "killed", kill_at=KILLED_AT)
        resumed = _trained(sizes, settings, Path(folder) / "killed")
    apart = {"weights differ by": _difference(resumed, whole)}
    if torch.equal(resumed, whole):
        return Finding("resume", what, State.RIGHT, "the same bits", apart)
    near = apart["weights differ by"] <= ALIKE
    return Finding("resume", what, State.RIGHT if near else State.WRONG, "not the same bits", apart)


def _short(sizes: Sizes) -> Any:
    """The first autoencoder, as a short training at a rate at which roundings stay small."""
    _, settings = families(sizes.config)["bright"]
    short: Any = changed(without_perceptual(settings), 4, precision="fp32", save_every_s=1e-9, previews=0, gpus=1)
    training = short.training.model_copy(
        update={"images": 4 * STEPS, "learning_rate": 1e-4, "epsilon": 1e-6, "discriminator_epsilon": 1e-5}
    )
    return short.model_copy(update={"training": training})


def _trained(sizes: Sizes, settings: Any, work: Path, kill_at: int | None = None) -> Tensor:
    accelerator = fresh_accelerator(settings, work)
    task = make_task(sizes.config, "autoencoder", settings, accelerator)
    step = task.step

    def until(number: int) -> dict[str, Tensor]:
        if number == kill_at:
            raise Killed
        return step(number)

    task.step = until  # type: ignore[assignment, method-assign]
    Loop(task, settings.execution, accelerator, work).run()
    return torch.cat([p.detach().flatten().cpu() for p in task.model.parameters()])


def check_processes(device: torch.device, sizes: Sizes) -> Iterator[Finding]:
    """A training in two processes against the same in one."""
    what = "BRIGHT, two processes and one"
    if device.type == "cuda" and torch.cuda.device_count() < 2:
        yield Finding("processes", what, State.NOT_CHECKED, "this machine has one GPU")
        return
    yield guarded("processes", what, lambda: _in_processes(sizes, what))


def _in_processes(sizes: Sizes, what: str) -> Finding:
    settings = _short(sizes)
    size = sizes.config.datasets[settings.dataset]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        noise, shape = np.random.default_rng(0), (size.resolution, size.resolution, size.channels)
        with ArchiveWriter(folder / "images.zip", size.channels) as archive:
            for index in range(8):
                archive.add(image_name(index), noise.integers(0, 256, shape, np.uint8))
        found = []
        for processes in (1, 2):
            job = {"autoencoder": changed(settings, None, gpus=processes).model_dump(mode="json"), "seed": 0}
            (folder / "job.json").write_text(json.dumps(job))
            own = folder / str(processes)
            places = {"weights": "weights", "history": "history.csv", "preview": "preview.png", "work": "work"}
            files = [f"--images={folder / 'images.zip'}", *(f"--{key}={own / name}" for key, name in places.items())]
            stage = ["pipeline.train_autoencoder", str(folder / "job.json"), *files]
            subprocess.run(command(stage, processes), check=True, capture_output=True, text=True)
            found.append(torch.cat([one.flatten() for one in load_file(own / "weights").values()]))
    apart = {"weights differ by": _difference(found[1], found[0])}
    state = State.RIGHT if apart["weights differ by"] <= ALIKE else State.WRONG
    return Finding("processes", what, state, "", apart)
