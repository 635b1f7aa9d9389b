"""The cost of a training on a GPU: floating-point operations and memory, counted on the training's own code.

Each kind of step runs once on a simulated GPU (`fake_gpu`), with its optimizer, at the batch of one process. The counts
contain what PyTorch asks of the device, so not the workspaces of libraries. Reading hash tables has no convolutions or
matrix products, so it adds no floating-point operations.

`python -m bright_pipeline.estimation.costs CONFIG CARD ENTRY...` prints a line for each entry that does not fit a card.
"""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import Tensor, nn

from bright_pipeline.config.root import Config, read_config
from bright_pipeline.estimation.devices import Cost, TrainingCost, Work, choose_card, fits, too_large, trainings
from bright_pipeline.estimation.fake_gpu import NAME, FakeGPU, NotCounted
from bright_pipeline.families import generator_family, load
from bright_pipeline.models.autoencoder import HALF
from bright_pipeline.models.checkpoints import make_autoencoder
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.perceptual import Weights
from bright_pipeline.models.retrieval_triton import TritonRetrieval
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.settings.execution import Execution
from bright_pipeline.training.batches import StepOrder, TrainingCodes
from bright_pipeline.training.task import TrainingTask

ITEMS = 8  # images or codes in the stand-in for a dataset


class Images:
    """Noise in place of training images (C, R, R)."""

    def __init__(self, shape: tuple[int, int, int]):
        self.shape = shape
        self.channels, self.resolution, _ = shape
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(256, (ITEMS, *shape), generator=generator, dtype=torch.uint8)

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """uint8 batches (n, C, R, R)."""
        return (self.images[rows] for rows in order)


def image_shape(config: Config, settings: Any) -> tuple[int, int, int]:
    """(C, R, R) of a model's dataset."""
    dataset = config.datasets[config.dataset_of(settings)]
    return dataset.channels, dataset.resolution, dataset.resolution


def make_task(config: Config, settings: Any, perceptual: Weights | None, accelerator: Any) -> TrainingTask:
    """The training of these settings, an entry of the config, on noise."""
    data: Any
    if getattr(settings, "autoencoder", None) is None:
        data = Images(image_shape(config, settings))
    else:  # random codes, and the untrained autoencoder that decodes them
        first_stage = config.autoencoders[settings.autoencoder]
        channels, resolution, _ = image_shape(config, first_stage)
        decoder = make_autoencoder(first_stage, resolution, channels).to(accelerator.device)
        height, width, depth = first_stage.code_size
        data = TrainingCodes(torch.rand(ITEMS, depth, height, width), decoder.eval().requires_grad_(False))
    if isinstance(settings, AutoencoderSettings):
        from bright_pipeline.training.autoencoder import AutoencoderTask

        return AutoencoderTask(settings, data, perceptual, 0, accelerator)
    if isinstance(settings, Diffusion):
        from bright_pipeline.training.diffusion import DiffusionTask

        return DiffusionTask(settings, data, 0, accelerator)
    return load(generator_family(settings.family).task)(settings, data, 0, accelerator)


class Accelerator:
    """accelerate's interface on the simulated GPU, for one of several processes; a sum over processes is a no-op."""

    process_index, is_main_process, scaler = 0, True, None

    def __init__(self, device: torch.device, execution: Execution):
        self.device, self.num_processes = device, execution.processes
        self.dtype = HALF.get(execution.precision)

    def prepare(self, optimizer: Any) -> Any:
        return optimizer

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext() if self.dtype is None else torch.autocast(NAME, self.dtype)

    def backward(self, loss: Tensor) -> None:
        loss.backward()

    def clip_grad_norm_(self, parameters: Any, largest: float) -> Tensor:
        # foreach is PyTorch's default on a GPU, but not for fake tensors.
        return torch.nn.utils.clip_grad_norm_(parameters, largest, foreach=True)

    def reduce(self, tensor: Tensor, how: str) -> Tensor:
        return tensor


def simulated_task(config: Config, settings: Any, gpu: FakeGPU) -> TrainingTask:
    """The training of these settings on the simulated GPU, in the state between two steps; nothing is compiled."""
    execution = settings.execution.model_copy(update={"compile": False})
    settings = settings.model_copy(update={"execution": execution})
    perceptual = None
    if isinstance(settings, AutoencoderSettings) and (network := settings.losses.perceptual.network) != "none":
        with torch.device("meta"):
            whole = torchvision.models.alexnet() if network == "lpips_alex" else torchvision.models.vgg16()
        perceptual = {name: torch.empty(weight.shape) for name, weight in whole.state_dict().items()}
    task = make_task(config, settings, perceptual, Accelerator(gpu.device, execution))
    # The first step alone does this: optimizers allocate their states, and retrieval its constants.
    for name, optimizer in task.optimizers.items():
        for weight in task.modules[name].parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
    for module in (*task.modules.values(), task.model):
        prepare_retrieval(module, gpu.device)
    return task


def prepare_retrieval(model: nn.Module, device: torch.device) -> None:
    """Make `auto` and `triton` read tables with this project's kernels, as on most GPUs."""
    for tables in model.modules():
        if not isinstance(tables, HashTableGroups):
            continue
        if tables.settings.retrieval in {"auto", "triton"} and tables.settings.coordinates:
            tables.strategies[device] = TritonRetrieval(tables.levels, tables.feature_size)
        channels, side = tables.groups * tables.settings.key_length, tables.feature_size
        with torch.no_grad():
            tables.retrieve(torch.zeros(1, channels, side, side, device=device))


def counted(gpu: FakeGPU, call: Callable[[], object]) -> Cost:
    """The cost of a call on the simulated GPU."""
    with gpu.counting():
        call()
    operations = sum(gpu.operations.values())
    return Cost(operations, gpu.work, gpu.most_kept, gpu.peak, gpu.to_device, gpu.to_host)


_costs: dict[str, TrainingCost] = {}


def training_cost(config: Config, settings: Any) -> TrainingCost:
    """The cost of the training of an entry; equal trainings are counted once. NotCounted if it cannot be simulated."""
    reads = getattr(settings, "autoencoder", None)
    decoder = config.autoencoders[reads].architecture() if reads else None
    own = settings.model_dump(mode="json", exclude={"seed", "dataset", "autoencoder"})
    # A study trains at many rates, which change no operation.
    own["training"] = {name: value for name, value in own["training"].items() if "learning_rate" not in name}
    key = json.dumps([own, decoder, image_shape(config, settings)], sort_keys=True)
    if key in _costs:
        return _costs[key]
    execution, steps, work = settings.execution, [], Work()
    with FakeGPU() as gpu:
        task = simulated_task(config, settings, gpu)
        weights = gpu.held
        for step, share in task.kinds_of_steps().items():
            task.start(step)
            steps.append(counted(gpu, partial(task.step, step)))
            work += steps[-1].work * (share * task.steps * execution.processes)
    parameters = sum(one.numel() for module in task.modules.values() for one in module.parameters())
    largest, batch = max(steps, key=lambda cost: cost.peak), task.batch // execution.processes
    cost = TrainingCost(batch, execution.processes, execution.precision, parameters, weights, largest, work)
    return _costs.setdefault(key, cost)


def main(path: str, card: str, *entries: str) -> None:
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
