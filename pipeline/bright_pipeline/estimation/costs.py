"""The cost of a model at work (`Use`) on a GPU: floating-point operations and memory, counted on the model's own code.

Each kind of training step runs once on a simulated GPU (`fake_gpu`), with its optimizer, at the batch of one process.
Encoding, decoding, a denoising step and a metric network run once at their batch. The counts contain what PyTorch asks
of the device, so not the workspaces of libraries. Reading hash tables has no convolutions or matrix products, so it
adds no floating-point operations.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torchvision import models

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.paths import WORK
from bright_pipeline.config.root import Config
from bright_pipeline.engine.atomic import write_json
from bright_pipeline.engine.code import code_digest
from bright_pipeline.engine.jobs import Use
from bright_pipeline.estimation.devices import Cost, UseCost, Work, choose_card, fits, too_large, trainings
from bright_pipeline.estimation.fake_gpu import NAME, FakeGPU, NotCounted
from bright_pipeline.families import generator_family, load
from bright_pipeline.models.autoencoder import HALF
from bright_pipeline.models.checkpoints import make_autoencoder, make_generator
from bright_pipeline.models.diffusion import build_unet
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.models.perceptual import Weights
from bright_pipeline.models.retrieval_triton import TritonRetrieval
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.diffusion import Denoising, Diffusion, Sampler
from bright_pipeline.settings.execution import Execution
from bright_pipeline.settings.fields import CodeSize
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


def counted_batch(config: Config, use: Use) -> Cost:
    """The cost of one batch of a use without training."""
    with FakeGPU() as gpu, torch.no_grad():
        half = HALF.get(use.precision)
        with nullcontext() if half is None else torch.autocast(NAME, half):
            return counted(gpu, CALLS[use.work](config, use, gpu.device))


def noise(*shape: int, device: torch.device) -> Tensor:
    """The same numbers on each device."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(device)


def _coder(config: Config, use: Use, device: torch.device) -> tuple[Any, tuple[int, int, int]]:
    """An untrained autoencoder, and the shape of its images."""
    channels, resolution, _ = shape = image_shape(config, use.model)
    model = make_autoencoder(use.model, resolution, channels).to(device).eval().requires_grad_(False)
    prepare_retrieval(model, device)
    return model, shape


def _encode(config: Config, use: Use, device: torch.device) -> Callable[[], object]:
    model, shape = _coder(config, use, device)
    return partial(model.encode, noise(use.batch, *shape, device=device))


def _decode(config: Config, use: Use, device: torch.device) -> Callable[[], object]:
    model, _ = _coder(config, use, device)
    height, width, depth = use.model.code_size
    return partial(model.decode, noise(use.batch, depth, height, width, device=device))


def _denoise(config: Config, use: Use, device: torch.device) -> Callable[[], object]:
    """One step of a UNet, or the whole pass of another generator."""
    first_stage = getattr(use.model, "autoencoder", None)
    size = config.autoencoders[first_stage].code_size if first_stage else None
    shape = image_shape(config, use.model) if size is None else (size.channels, size.height, size.width)
    if not isinstance(use.model, Denoising):
        channels, height, width = shape
        model = make_generator(use.model, (channels, height // _rows(config, use), width)).to(device).eval()
        return partial(model.sample, [*range(use.batch)], 0, Sampler())
    unet = build_unet(use.model.unet, CodeSize(*shape[1:], shape[0])).to(device).eval()
    noisy, times = (
        noise(use.batch, *shape, device=device),
        torch.zeros(use.batch, dtype=torch.long, device=device),
    )
    return partial(unet, noisy, times)


def _rows(config: Config, use: Use) -> int:
    """The rows of codes that a generator draws token by token: one of them is counted, for all."""
    first_stage = getattr(use.model, "autoencoder", None)
    return (
        1 if first_stage is None or isinstance(use.model, Denoising) else config.autoencoders[first_stage].code_size[0]
    )


def _features(config: Config, use: Use, device: torch.device) -> Callable[[], object]:
    """A metric network's architecture in torchvision, or a similar one."""
    make, side = ARCHITECTURES[use.model]
    model = make().to(device).eval()
    return partial(model, noise(use.batch, 3, side, side, device=device))


CALLS: dict[str, Callable[[Config, Use, torch.device], Callable[[], object]]] = {
    "encode": _encode,
    "decode": _decode,
    "denoise": _denoise,
    "features": _features,
}
ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "inception": (partial(models.inception_v3, init_weights=False), 299),
    "clip": (models.vit_b_32, 224),
    "vgg16": (models.vgg16, 224),
    "dinov2": (partial(models.VisionTransformer, 224, 14, 24, 16, 1024, 4096), 224),
    "clip_l14_336": (partial(models.VisionTransformer, 336, 14, 24, 16, 1024, 4096), 336),
    "efficientnet_lite0": (models.efficientnet_b0, 112),
    "lpips_alex": (models.alexnet, 256),
    "lpips_vgg": (models.vgg16, 256),
}

COUNTED = WORK / "costs.json"  # of earlier calls: counting all of the paper's config takes minutes


@cache
def _version() -> str:
    """What counts depend on: PyTorch, and the code of models and trainings."""
    return f"{torch.__version__} {code_digest((__spec__.name,))}"


@cache
def _costs() -> dict[str, UseCost]:
    """The costs of earlier calls with the same version."""
    try:
        counted = read_json(COUNTED, str(COUNTED))
        return {key: _read(cost) for key, cost in counted["costs"].items() if counted["version"] == _version()}
    except (InputError, KeyError, TypeError, AttributeError):
        return {}


def _read(values: dict[str, Any]) -> UseCost:
    step = Cost(**values["step"] | {"work": Work(**values["step"]["work"])})
    return UseCost(**values | {"step": step, "work": Work(**values["work"])})


def use_cost(config: Config, use: Use) -> UseCost:
    """The cost of a use; equal uses are counted once. NotCounted if it cannot be simulated."""
    if use.work == "compute":  # on a CPU
        nothing = Cost(0, Work(), 0, 0, 0, 0)
        return UseCost(use.batch, 1, use.precision, 0, 0, nothing, Work(products=use.items))
    key = use.work + str(use.model)
    if not isinstance(use.model, str):
        reads = getattr(use.model, "autoencoder", None)
        decoder = config.autoencoders[reads].architecture() if reads else None
        own = use.model.model_dump(mode="json", exclude={"seed", "dataset", "autoencoder"})
        if use.work != "train":
            own = use.model.architecture()
        elif "training" in own:  # a study trains at many rates, which change no operation
            own["training"] = {name: value for name, value in own["training"].items() if "learning_rate" not in name}
        shape = [*image_shape(config, use.model)] if reads is None else None
        key = json.dumps([use.work, own, decoder, shape, use.batch, use.precision], sort_keys=True)
    if key not in (costs := _costs()):
        costs[key] = training_cost(config, use.model) if use.work == "train" else _inference_cost(config, use)
        with suppress(OSError):
            COUNTED.parent.mkdir(parents=True, exist_ok=True)
            write_json(COUNTED, {"version": _version(), "costs": {key: asdict(cost) for key, cost in costs.items()}})
    cost = costs[key]
    return cost if use.work == "train" else replace(cost, work=cost.work * (use.items / use.batch))


def _inference_cost(config: Config, use: Use) -> UseCost:
    batch = counted_batch(config, use)
    rows = _rows(config, use) if use.work == "denoise" else 1
    return UseCost(use.batch, 1, use.precision, 0, 0, batch, batch.work * rows)


def training_cost(config: Config, settings: Any) -> UseCost:
    """The cost of the training of an entry. NotCounted if it cannot be simulated."""
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
    return UseCost(batch, execution.processes, execution.precision, parameters, weights, largest, work)


def memory_warnings(config: Config, entries: Iterable[str], card: str) -> list[str]:
    """`too_large` of those entries that train on GPUs; none for an unknown card (the driver's name)."""
    known, lines = trainings(config), []
    with suppress(InputError, NotCounted):
        device = choose_card(card)
        for entry in (one for one in entries if device.memory_gib and one in known and known[one].execution.gpus):
            cost = use_cost(config, Use("train", known[entry]))
            lines += [] if fits(cost, device) else [too_large(entry, cost, device)]
    return lines
