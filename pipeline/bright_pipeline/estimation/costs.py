"""The cost of a model at work (`Use`) on a GPU: floating-point operations and memory, counted on the model's own code.

Each kind of training step runs once on a simulated GPU (`fake_gpu`), with its optimizer, at the batch of one process.
Encoding, decoding, a denoising step and a metric network run once at their batch. The counts contain what PyTorch asks
of the device, so not the workspaces of libraries. Reading hash tables has no convolutions or matrix products, so it
adds no floating-point operations.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from functools import cache, partial
from typing import Any

import numpy as np
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
from bright_pipeline.estimation.devices import Cost
from bright_pipeline.estimation.fake_gpu import NAME, FakeGPU
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

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """uint8 batches (n, C, R, R)."""
        return (self.images[rows] for rows in order)


def make_task(config: Config, settings: Any, perceptual: Weights | None, accelerator: Any) -> TrainingTask:
    """The training of these settings, an entry of the config, on noise."""
    data: Any
    if getattr(settings, "autoencoder", None) is None:
        data = Images(model_shape(config, settings))
    else:  # random codes, and the untrained autoencoder that decodes them
        decoder: Any = untrained(config, config.autoencoders[settings.autoencoder]).to(accelerator.device)
        data = TrainingCodes(torch.rand(ITEMS, *model_shape(config, settings)), decoder.eval().requires_grad_(False))
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

    prepare = reduce = staticmethod(lambda value, *how: value)
    backward = staticmethod(Tensor.backward)
    # foreach is PyTorch's default on a GPU, but not for fake tensors.
    clip_grad_norm_ = staticmethod(partial(torch.nn.utils.clip_grad_norm_, foreach=True))

    def autocast(self) -> AbstractContextManager[None]:
        return nullcontext() if self.dtype is None else torch.autocast(NAME, self.dtype)


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
    """Make `auto` and `triton` read tables with this project's kernels on the simulated GPU, as on most GPUs."""
    for tables in model.modules():
        if not isinstance(tables, HashTableGroups) or device.type != NAME:
            continue
        if tables.settings.retrieval in {"auto", "triton"} and tables.settings.coordinates:
            tables.strategies[device] = TritonRetrieval(tables.levels, tables.settings, tables.feature_size)
        channels, side = tables.groups * tables.settings.key_length, tables.feature_size
        with torch.no_grad():
            tables.retrieve(torch.zeros(1, channels, side, side, device=device))


def counted_batch(config: Config, use: Use) -> Cost:
    """The cost of one batch of a use without training."""
    half = HALF.get(use.precision)
    autocast = nullcontext() if half is None else torch.autocast(NAME, half)
    with FakeGPU() as gpu, torch.no_grad(), autocast:
        return Cost(*gpu.measure(call_of(config, use, gpu.device)), use.batch, use.precision)


def model_shape(config: Config, settings: Any) -> tuple[int, int, int]:
    """(C, H, W) of what a model reads or generates: images, or codes of its autoencoder."""
    if (first_stage := getattr(settings, "autoencoder", None)) is None:
        dataset = config.datasets[config.dataset_of(settings)]
        return dataset.channels, dataset.resolution, dataset.resolution
    height, width, depth = config.autoencoders[first_stage].code_size
    return depth, height, width


def untrained(config: Config, settings: Any, shape: tuple[int, int, int] | None = None) -> nn.Module:
    """The model of an entry's settings, for data of this shape; the UNet alone of a diffusion model."""
    channels, height, width = shape or model_shape(config, settings)
    if isinstance(settings, AutoencoderSettings):
        return make_autoencoder(settings, height, channels)
    if isinstance(settings, Denoising):
        return build_unet(settings.unet, CodeSize(height, width, channels))
    return make_generator(settings, (channels, height, width))


def call_of(config: Config, use: Use, device: torch.device) -> Callable[[], object]:
    """A batch of a use (of a UNet a step, of codes drawn token by token a row) with an untrained model and noise."""

    def noise(*shape: int) -> Tensor:  # the same on each device
        return torch.rand(use.batch, *shape, generator=torch.Generator().manual_seed(0)).to(device)

    if use.work == "features":
        make, side = ARCHITECTURES[use.model]
        side = side or use.resolution
        return partial(make().to(device).eval(), noise(3, side, side))
    channels, height, width = shape = model_shape(config, use.model)
    model: Any = untrained(config, use.model, (channels, height // _rows(config, use), width)).to(device).eval()
    prepare_retrieval(model, device)
    if use.work == "encode":
        return partial(model.encode, noise(*shape))
    if use.work == "decode":
        height, width, depth = use.model.code_size
        return partial(model.decode, noise(depth, height, width))
    if isinstance(use.model, Denoising):
        return partial(model, noise(*shape), torch.zeros(use.batch, dtype=torch.long, device=device))
    return partial(model.sample, [*range(use.batch)], 0, Sampler())


def _rows(config: Config, use: Use) -> int:
    """How often a generator repeats what is counted: for each row of the codes that it draws token by token."""
    by_token = use.work == "denoise" and not isinstance(use.model, Denoising) and use.model.autoencoder is not None
    return model_shape(config, use.model)[1] if by_token else 1


# Metric networks in torchvision, or similar ones, and the size to which images are resized; LPIPS reads their own size.
ARCHITECTURES: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "inception": (partial(models.inception_v3, init_weights=False), 299),
    "clip": (models.vit_b_32, 224),
    "vgg16": (models.vgg16, 224),
    "dinov2": (partial(models.VisionTransformer, 224, 14, 24, 16, 1024, 4096), 224),
    "clip_l14_336": (partial(models.VisionTransformer, 336, 14, 24, 16, 1024, 4096), 336),
    "efficientnet_lite0": (models.efficientnet_b0, 112),
    "lpips_alex": (lambda: models.alexnet().features[:-1], 0),
    "lpips_vgg": (lambda: models.vgg16().features[:-1], 0),
}

COUNTED = WORK / "costs.json"  # of earlier calls: counting all of the paper's config takes minutes


@cache
def _costs() -> tuple[str, dict[str, Cost]]:
    """The version of PyTorch and of the code of models and trainings, and the costs of earlier calls with the same."""
    version = f"{torch.__version__} {code_digest((__spec__.name,))}"
    try:
        kept = read_json(COUNTED, str(COUNTED))
        costs = kept["costs"] if kept["version"] == version else {}
        return version, {key: Cost(**cost | {"work": np.array(cost["work"])}) for key, cost in costs.items()}
    except (InputError, KeyError, TypeError, AttributeError):
        return version, {}


def use_cost(config: Config, use: Use) -> Cost:
    """The cost of a use; equal uses are counted once. NotCounted if it cannot be simulated."""
    if use.work == "compute":  # on a CPU
        return Cost(np.array([0.0, use.items]))
    settings = _counted_settings(config, use)
    key = json.dumps([use.work, settings, use.batch, use.precision, use.resolution], sort_keys=True)
    version, costs = _costs()
    if key not in costs:
        costs[key] = training_cost(config, use.model) if use.work == "train" else counted_batch(config, use)
        kept = {key: asdict(cost) | {"work": cost.work.tolist()} for key, cost in costs.items()}
        with suppress(OSError):
            write_json(COUNTED, {"version": version, "costs": kept})
    cost = costs[key]
    return cost if use.work == "train" else replace(cost, work=cost.work * (_rows(config, use) * use.items / use.batch))


def _counted_settings(config: Config, use: Use) -> Any:
    """What the cost of a use depends on."""
    if isinstance(use.model, str):
        return use.model
    if use.work != "train":
        return use.model.architecture(), model_shape(config, use.model)
    first_stage = getattr(use.model, "autoencoder", None)
    decoder = _counted_settings(config, Use("decode", config.autoencoders[first_stage])) if first_stage else None
    own = use.model.model_dump(mode="json", exclude={"seed", "dataset", "autoencoder"})
    if "training" in own:  # a study trains at many rates, which change no operation
        own["training"] = {name: value for name, value in own["training"].items() if "learning_rate" not in name}
    return own, decoder, model_shape(config, use.model)


def training_cost(config: Config, settings: Any) -> Cost:
    """The cost of the training of an entry. NotCounted if it cannot be simulated."""
    execution, work, largest = settings.execution, np.zeros(2), 0
    with FakeGPU() as gpu:
        task = simulated_task(config, settings, gpu)
        for step, share in task.kinds_of_steps().items():
            task.start(step)
            of_step, peak = gpu.measure(partial(task.step, step))
            work += of_step * (share * task.steps * execution.processes)
            largest = max(largest, peak)
    return Cost(work, largest, task.batch // execution.processes, execution.precision, execution.processes, True)
