"""Training steps of every family in every precision, a killed training, and a training in two processes."""

import json
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.config.root import read_config
from bright_pipeline.data.archive import ArchiveWriter, image_name
from bright_pipeline.engine.launch import command
from bright_pipeline.estimation import costs
from bright_pipeline.models.metric_networks.manifest import PERCEPTUAL_NETWORKS, network_path
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.training.loop import Loop, make_accelerator
from bright_pipeline.training.task import TrainingTask
from safetensors.torch import load_file
from test_gpu_retrieval import DEVICE, difference
from torch import Tensor

pytestmark = [pytest.mark.gpu, pytest.mark.slow]

ON_GPU = torch.cuda.is_available()
# The first entry of each family: the paper's on a GPU, else the demo's.
CONFIGURATION = read_config(Path(__file__).parents[2] / "config" / ("paper.yaml" if ON_GPU else "demo-all.yaml"))
ENTRIES = (*CONFIGURATION.autoencoders.values(), *CONFIGURATION.diffusions.values(), *CONFIGURATION.generators.values())
# Training tests cover float32 on a CPU, where float16 is no faster.
PRECISIONS = ("fp32", "bf16", "fp16") if ON_GPU else ("bf16",)
FAMILIES: dict[str, Any] = {getattr(one, "family", "latent diffusion"): one for one in reversed(ENTRIES)}


def changed(settings: Any, **changes: dict[str, Any]) -> Any:
    """Settings with changed keys, section by section."""
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=keys) for name, keys in changes.items()}
    )


def make_task(settings: Any, work: Path) -> TrainingTask:
    """The training of an entry on noise, with its adversary from the first step on.

    Without the perceptual loss where the file of its network is missing.
    """
    AcceleratorState._reset_state(True)  # accelerate keeps one precision for a process
    weights = None
    if isinstance(settings, AutoencoderSettings):
        network = PERCEPTUAL_NETWORKS.get(settings.losses.perceptual.network)
        path = None if network is None else network_path(network, NETWORKS)
        weights = path if path is not None and path.exists() else None
        perceptual = settings.losses.perceptual if weights else without_perceptual(settings)
        adversarial = settings.losses.adversarial.model_copy(update={"start_images": 0, "critic_only_images": 0})
        settings = changed(settings, losses={"perceptual": perceptual, "adversarial": adversarial})
    return costs.make_task(CONFIGURATION, settings, weights, make_accelerator(settings.execution, work))


def without_perceptual(settings: Any) -> Any:
    """The settings of a perceptual loss that is off."""
    return settings.losses.perceptual.model_copy(update={"network": "none"})


STEPS, KILLED_AT = 6, 3
ALIKE = 1e-4  # weights of two processes and of one, or of a resumed training where a card's sums vary


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("family", FAMILIES)
def test_two_steps_have_finite_numbers_and_move_the_weights(family: str, precision: str, tmp_path: Path) -> None:
    settings = changed(FAMILIES[family], execution={"precision": precision})
    if ON_GPU:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        settings = changed(settings, training={"batch": 4})
    task = make_task(settings, tmp_path)
    before = [one.detach().clone() for one in task.model.parameters()]
    task.start(0)
    try:
        task.step(0)
        started = time.perf_counter()
        numbers = {name: float(value) for name, value in task.step(1).items()}
    except torch.OutOfMemoryError:
        pytest.skip("the card's memory is too small for this batch")
    memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if ON_GPU else ""
    print(f"{family}, {precision}, batch {task.batch}: {time.perf_counter() - started:.3f} s a step{memory}")
    assert np.isfinite(list(numbers.values())).all(), numbers
    moved = any(not torch.equal(one, now.detach()) for one, now in zip(before, task.model.parameters(), strict=True))
    assert moved or task.skipped("model")


class Killed(BaseException):
    """Ends a training without running its own code."""


def short(**execution: Any) -> Any:
    """A short training of BRIGHT's autoencoder, at a rate at which roundings stay small."""
    settings = FAMILIES["bright"]
    small = {"learning_rate": 1e-4, "epsilon": 1e-6, "discriminator_epsilon": 1e-5}
    return changed(
        settings,
        training={"batch": 4, "images": 4 * STEPS} | small,
        losses={"perceptual": without_perceptual(settings)},
        execution={"precision": "fp32", "save_every_s": 1e-9, "previews": 0, "gpus": 1} | execution,
    )


def trained(work: Path, kill_at: int | None = None) -> Tensor:
    task = make_task(short(), work)
    step = task.step

    def until(number: int) -> dict[str, Tensor]:
        if number == kill_at:
            raise Killed
        return step(number)

    task.step = until  # type: ignore[method-assign]
    Loop(task, work).run()
    return torch.cat([one.detach().flatten().cpu() for one in task.model.parameters()])


def test_a_killed_training_resumes(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    with suppress(Killed):
        trained(tmp_path / "killed", kill_at=KILLED_AT)
    resumed = trained(tmp_path / "killed")
    print(f"weights differ by {difference(resumed, whole):.1e}")
    assert torch.equal(resumed, whole) if DEVICE.type == "cpu" else difference(resumed, whole) <= ALIKE


@pytest.mark.skipif(torch.cuda.device_count() == 1, reason="this machine has one GPU")
def test_two_processes_train_as_one(tmp_path: Path) -> None:
    size = CONFIGURATION.datasets[short().dataset]
    noise, shape = np.random.default_rng(0), (size.resolution, size.resolution, size.channels)
    with ArchiveWriter(tmp_path / "images.zip", size.channels) as archive:
        for index in range(8):
            archive.add(image_name(index), noise.integers(0, 256, shape, np.uint8))
    found = []
    for processes in (1, 2):
        job = {"autoencoder": short(gpus=processes).model_dump(mode="json"), "seed": 0}
        settings, own = tmp_path / "job.json", tmp_path / str(processes)
        settings.write_text(json.dumps(job))
        places = {"weights": "weights", "history": "history.csv", "preview": "preview.png", "work": "work"}
        files = [f"--images={tmp_path / 'images.zip'}", *(f"--{key}={own / name}" for key, name in places.items())]
        words = command(["bright_pipeline.train_autoencoder", str(settings), *files], processes)
        subprocess.run(words, check=True, capture_output=True, text=True)
        found.append(torch.cat([one.flatten() for one in load_file(own / "weights").values()]))
    print(f"weights differ by {difference(*reversed(found)):.1e}")
    assert difference(found[1], found[0]) <= ALIKE
