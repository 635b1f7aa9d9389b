"""What one step of each training costs a GPU: work, and memory, counted on the training's own code (`fake_gpu`).

The step is one that does all that steps of the training do, with its optimizer, at the batch of one process. What is
counted is what PyTorch asks of the device, so that libraries' own workspaces are not in it.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.config.root import Config
from pipeline.estimation.devices import Work
from pipeline.estimation.fake_gpu import NAME, FakeGPU
from pipeline.families import generator_family, load
from pipeline.models.autoencoder import HALF
from pipeline.models.checkpoints import make_autoencoder
from pipeline.models.hash_tables import HashTableGroups
from pipeline.models.perceptual import Weights
from pipeline.models.retrieval_triton import TritonRetrieval
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.diffusion import Diffusion, Sampler
from pipeline.settings.execution import Execution
from pipeline.settings.fields import Section
from pipeline.training.batches import StepOrder, TrainingCodes
from pipeline.training.task import TrainingTask

Shape = tuple[int, int, int]
ITEMS = 8  # images or codes that a training is counted on; only their shapes count
AT_ONCE = 4  # images that are encoded, decoded and sampled
SAMPLERS = ("ddpm", "ddim", "dpm_solver")


@dataclass(frozen=True)
class Cost:
    """What the device does and holds in one call; bytes."""

    operations: int
    """About one kernel each."""
    flops: int
    """Two for each multiply-accumulate of convolutions and matrix products."""
    kept: int
    """What graphs keep for their backward passes, at most at one time."""
    peak: int
    """All that lies on the device, at most at one time."""
    to_device: int
    to_host: int
    """Copies."""


class Accelerator:
    """accelerate's, on the fake GPU: one process of several, whose sums over processes change no shape."""

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
        # As torch has it on a GPU by itself, but not for fake tensors.
        return torch.nn.utils.clip_grad_norm_(parameters, largest, foreach=True)

    def reduce(self, tensor: Tensor, how: str) -> Tensor:
        return tensor


class Images:
    """Black training images of this shape."""

    def __init__(self, shape: Shape):
        self.shape = shape
        self.channels, self.resolution, _ = shape

    def __len__(self) -> int:
        return ITEMS

    def __getitem__(self, index: int) -> Tensor:
        return torch.zeros(self.shape, dtype=torch.uint8)

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        return (torch.zeros((len(rows), *self.shape), dtype=torch.uint8) for rows in order)


@cache
def perceptual_weights(network: str) -> Weights | None:
    """Weights of the shapes that a perceptual network has."""
    if network == "none":
        return None
    import torchvision

    with torch.device("meta"):
        whole = torchvision.models.alexnet() if network == "lpips_alex" else torchvision.models.vgg16()
    return {name: torch.empty(weight.shape) for name, weight in whole.state_dict().items()}


def _task(config: Config, settings: Any, gpu: FakeGPU) -> TrainingTask:
    """The training of these settings on the fake GPU, which compiles nothing."""
    plain = settings.execution.model_copy(update={"compile": False})
    settings = settings.model_copy(update={"execution": plain})
    accelerator: Any = Accelerator(gpu.device, settings.execution)
    if isinstance(settings, AutoencoderSettings):
        from pipeline.training.autoencoder import AutoencoderTask

        images: Any = Images(image_shape(config, settings))
        return AutoencoderTask(settings, images, perceptual_weights(settings.losses.perceptual.network), 0, accelerator)
    data: Any = Images(image_shape(config, settings)) if settings.autoencoder is None else _codes(config, settings, gpu)
    if isinstance(settings, Diffusion):
        from pipeline.training.diffusion import DiffusionTask

        return DiffusionTask(settings, data, 0, accelerator)
    return load(generator_family(settings.family).task)(settings, data, 0, accelerator)


def _codes(config: Config, settings: Any, gpu: FakeGPU) -> TrainingCodes:
    decoder_settings = config.autoencoders[settings.autoencoder]
    channels, resolution, _ = image_shape(config, decoder_settings)
    decoder = make_autoencoder(decoder_settings, resolution, channels).to(gpu.device).eval().requires_grad_(False)
    height, width, depth = decoder_settings.code_size
    prepare_retrieval(decoder, gpu.device)
    return TrainingCodes(torch.rand(ITEMS, depth, height, width), decoder)


def image_shape(config: Config, settings: Section) -> Shape:
    """(C, R, R) of the dataset that a model is of."""
    dataset = config.datasets[config.dataset_of(settings)]
    return dataset.channels, dataset.resolution, dataset.resolution


@dataclass(frozen=True)
class ModelCost:
    """What a model's training costs one GPU; of further uses, by name, what they cost for four images."""

    batch: int
    """Of one process."""
    parameters: int
    """Of all that is trained."""
    weights: int
    """Bytes that lie on the device between steps: weights, gradients, Adam's and averaged ones, frozen networks."""
    step: Cost
    uses: dict[str, Cost]


def model_cost(config: Config, settings: Any, uses: bool = False) -> ModelCost:
    """Of the model of these settings, an entry of the config; `HostWaits` where a step waits for the device."""
    with FakeGPU() as gpu:
        task = _task(config, settings, gpu)
        parameters = sum(one.numel() for module in task.modules.values() for one in module.parameters())
        _warm_up(task, gpu.device)
        weights = gpu.held
        task.start(task.fullest_step)
        step = _counted(gpu, lambda: task.step(task.fullest_step))
        found = {name: _counted(gpu, use) for name, use in (_uses(task, gpu) if uses else ())}
    return ModelCost(task.batch // settings.execution.processes, parameters, weights, step, found)


def training_work(config: Config, settings: Any) -> Work:
    """Of a whole training, by what its kinds of steps do; on one GPU and with a batch at once, which adds nothing."""
    alone = settings.execution.model_copy(update={"gpus": 1, "nodes": 1, "micro_batch": None})
    with FakeGPU() as gpu:
        task = _task(config, settings.model_copy(update={"execution": alone}), gpu)
        _warm_up(task, gpu.device)
        found = Work()
        for step, share in task.kinds_of_steps().items():
            task.start(step)
            with gpu.counting():
                task.step(step)
            found += gpu.work * (share * task.steps)
    return found


def _warm_up(task: TrainingTask, device: torch.device) -> None:
    """What the first step alone does: optimizers make their states, retrieval its plans."""
    for name, optimizer in task.optimizers.items():
        for weight in task.modules[name].parameters():
            weight.grad = torch.zeros_like(weight)
        optimizer.step()
    for module in (*task.modules.values(), task.model):
        prepare_retrieval(module, device)


def prepare_retrieval(model: nn.Module, device: torch.device) -> None:
    """Tables are read by this project's kernels, as on most GPUs, unless the config asks for others."""
    for tables in model.modules():
        if not isinstance(tables, HashTableGroups):
            continue
        if tables.settings.retrieval in {"auto", "triton"} and tables.settings.coordinates:
            tables.strategies[device] = TritonRetrieval(tables.levels, tables.feature_size)
        channels, side = tables.groups * tables.settings.key_length, tables.feature_size
        with torch.no_grad():
            tables.retrieve(torch.zeros(1, channels, side, side, device=device))


def _counted(gpu: FakeGPU, call: Callable[[], object]) -> Cost:
    with gpu.counting():
        call()
    done = sum(gpu.operations.values())
    return Cost(done, int(gpu.work.total), gpu.most_kept, gpu.peak, gpu.to_device, gpu.to_host)


def _uses(task: Any, gpu: FakeGPU) -> Iterator[tuple[str, Callable[[], object]]]:
    """What a trained model is for."""
    task.model.eval()
    if isinstance(task.settings, AutoencoderSettings):
        height, width, channels = task.settings.code_size
        side = task.images.resolution
        images = torch.zeros(AT_ONCE, task.images.channels, side, side, device=gpu.device)
        codes = torch.zeros(AT_ONCE, channels, height, width, device=gpu.device)
        yield "encode", torch.no_grad()(lambda: task.model.encode(images))
        decode = torch.no_grad()(lambda: task.model.decode(codes))
        with task.model.frozen():
            decode()  # the first reads out what stays
            yield "decode", decode
        return
    kinds: tuple[Any, ...] = SAMPLERS
    for kind in kinds if hasattr(task, "unet") else ():
        yield f"two steps of {kind}", partial(_sample, task, Sampler(kind=kind, steps=2))
    if hasattr(task.model, "synthesize"):
        yield "sample", lambda: task.model.sample(list(range(AT_ONCE)), 0)


def _sample(task: Any, sampler: Sampler) -> object:
    indices = list(range(AT_ONCE))
    if isinstance(task.settings, Diffusion):
        from pipeline.models.diffusion import denoise

        return denoise(task.unet, task.settings, sampler, indices, 0, task.shape, task.rescaling)
    return task.model.sample(indices, 0, sampler)
