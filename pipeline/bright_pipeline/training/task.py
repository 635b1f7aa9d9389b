"""The parts that every training shares: batches, random numbers, learning rates, optimizers, the EMA, previews.

Everything that a step draws at random is a function of (seed, step). The state of a training is therefore its modules
and optimizers, saved and restored by name, its EMA, and the number of the step.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from math import cos, pi
from pathlib import Path
from typing import Any, TypeVar

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.seeds import seed_for
from bright_pipeline.data.archive import to_model
from bright_pipeline.data.pictures import contact_sheet
from bright_pipeline.models.checkpoints import fill
from bright_pipeline.models.execution import compile_networks, enable_checkpointing
from bright_pipeline.settings.diffusion import Sampler
from bright_pipeline.training.batches import MicroBatch, StepOrder, StepRandom, TrainingData
from bright_pipeline.training.processes import averaged_gradients, weighted_means

PREVIEW_IMAGES = 8
PREVIEW_SAMPLER = Sampler(kind="ddim", steps=20)
Module = TypeVar("Module", bound=nn.Module)
Loss = Callable[[MicroBatch], tuple[Tensor, dict[str, Tensor]]]


def learning_rate(
    peak: float, step: int, steps: int, decay: str, warmup: int = 0, per_step: int = 1, decay_from: int = 0
) -> float:
    """The learning rate of a step: linear warm-up to `peak`, and cosine decay to zero at the last step, or none.

    warmup: its length, in steps, or in images where `per_step` is the batch. decay_from: the first step of the cosine.
    """
    done = (step + 1) * per_step
    rate = peak * done / warmup if done <= warmup else peak
    if decay == "none":
        return rate
    progress = max(0, step - decay_from) / max(1, steps - decay_from)
    return 0.5 * (1 + cos(pi * progress)) * rate


class EMA:
    """The exponential moving average of a model's weights, which every later stage uses.

    a <- a - (1 - d) (a - w) for each weight w at each step; on a CPU bit-identical to diffusers' EMAModel.

    d is 0 at step 0 and min(decay, (1 + n) / (10 + n)) at step n, so that the first values are soon forgotten.
    """

    def __init__(self, weights: Iterable[nn.Parameter], decay: float):
        self.weights = [weight.detach().clone() for weight in weights]
        self.decay, self.steps = decay, 0

    @torch.no_grad()
    def step(self, weights: Iterable[nn.Parameter]) -> None:
        """Follow the model's weights after an optimizer step."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps)) if self.steps else 0.0
        self.steps += 1
        if self.weights[0].device.type == "cpu":
            for average, weight in zip(self.weights, weights, strict=True):
                average.sub_((1 - decay) * (average - weight))
        else:  # one kernel for all weights: on a GPU, starting a kernel takes longer than running it
            torch._foreach_lerp_(self.weights, list(weights), 1 - decay)

    @torch.no_grad()
    def copy_to(self, weights: Iterable[nn.Parameter]) -> None:
        """Replace a model's weights by their averages."""
        for average, weight in zip(self.weights, weights, strict=True):
            weight.copy_(average)

    @contextmanager
    def applied_to(self, weights: Iterable[nn.Parameter]) -> Iterator[None]:
        """Within the `with` block, the model has the averages; after it, its own weights again."""
        trained = EMA(weights := list(weights), 0.0)
        self.copy_to(weights)
        try:
            yield
        finally:
            trained.copy_to(weights)

    def state_dict(self) -> dict[str, Any]:
        return {"decay": self.decay, "steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned; tensors stay on their device."""
        self.decay, self.steps = state["decay"], state["steps"]
        for average, saved in zip(self.weights, state["weights"], strict=True):
            average.copy_(saved)


class TrainingTask:
    """One training. Each kind of training derives from it, makes its `model` and defines one `step`."""

    name: str
    model: Any

    def __init__(self, settings: Any, data: TrainingData, seed: int, accelerator: Accelerator):
        """Networks made after this call get the seed's initial weights."""
        self.settings, self.data, self.execution, training = settings, data, settings.execution, settings.training
        self.batch = training.batch
        self.steps = training.steps if hasattr(training, "steps") else -(-training.images // training.batch)
        self.seed, self.accelerator, self.device = seed, accelerator, accelerator.device
        self.process = accelerator.process_index, accelerator.num_processes
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        self.batches: Iterator[Tensor] = iter(())
        torch.manual_seed(seed_for(seed, "initial weights"))

    def kind_of_step(self, step: int) -> Hashable:
        """Equal for steps that do the same operations."""
        return None

    def kinds_of_steps(self) -> dict[int, float]:
        """The first step of each kind, and the share of all steps that are of this kind."""
        kinds = [self.kind_of_step(step) for step in range(self.steps)]
        return {kinds.index(kind): kinds.count(kind) / self.steps for kind in dict.fromkeys(kinds)}

    def step(self, step: int) -> dict[str, Tensor]:
        """Run one step; returns its numbers for the history, as scalars on the device."""
        raise NotImplementedError(f"{type(self).__name__}.step")

    def preview_rows(self) -> list[Tensor]:
        """Rows of images (N, C, R, R) in [-1, 1] for the preview: samples, always from the same noise."""
        return [self.model.sample(list(range(PREVIEW_IMAGES)), self.seed, PREVIEW_SAMPLER)]

    # Setup: called by the constructors of tasks, then by the loop.

    def add(self, name: str, module: Module) -> Module:
        """Make a module part of the training's state, and move it to the device."""
        self.modules[name] = module.to(self.device)
        return module

    def add_model(self, model: Module) -> Module:
        """Add the model that is trained; InputError where it does not support the settings of `execution`."""
        if self.execution.checkpointing and not enable_checkpointing(model):
            line = "execution.checkpointing: no block of this network can be recomputed; remove the key"
            raise InputError(f"{self.name}: {line}")
        model = self.add("model", model)
        if self.execution.channels_last:
            model.to(memory_format=torch.channels_last)  # features follow the weights of convolutions
        if self.execution.compile:
            compile_networks(model, self.device)
        return model

    def optimize(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        self.optimizers[name] = self.accelerator.prepare(optimizer)

    def track_ema(self, decay: float) -> None:
        self.ema = EMA(self.model.parameters(), decay)

    def load_initial_weights(self, weights: dict[str, Tensor], path: Path) -> None:
        """Start from trained weights, read from `path`; InputError where they do not fit the model."""
        try:
            fill(self.model, weights, path)
        except InputError as error:
            raise InputError(f"initial_weights: {error}") from None
        self.track_ema(self.ema.decay)

    def start(self, step: int) -> None:
        """Move the data loader to `step`, from which the training starts or resumes."""
        order = StepOrder(len(self.data), self.batch, self.seed, step, self.steps, *self.process)
        self.batches = self.data.batches(order)

    # Parts of a step.

    def random(self, step: int, purpose: str | None = None, batch: int | None = None) -> StepRandom:
        """The random numbers of a step; with a `purpose`, independent ones for a batch of another size."""
        seed = self.seed if purpose is None else seed_for(self.seed, purpose)
        return StepRandom(seed, step, batch or self.batch, self.device, *self.process)

    def split(self, items: Tensor, random: StepRandom) -> list[MicroBatch]:
        """This process's items of a batch as micro-batches on the device."""
        streams = random.split(self.execution.micro_batch)
        sizes = [stream.rows.stop - stream.rows.start for stream in streams]
        return [
            MicroBatch(part.to(self.device, non_blocking=True), stream, len(part) / len(items))
            for part, stream in zip(items.split(sizes), streams, strict=True)
        ]

    def next_batch(self, step: int) -> list[MicroBatch]:
        return self.split(next(self.batches), self.random(step))

    def next_images(self, step: int, flip: bool) -> list[MicroBatch]:
        """The next images (n, C, R, R) in [-1, 1]; with `flip`, each is mirrored with a probability of one half."""
        batch = self.next_batch(step)
        for micro_batch in batch:
            images = to_model(micro_batch.items)
            if flip:
                images = torch.where(micro_batch.random.uniform((len(images), 1, 1, 1)) < 0.5, images.flip(3), images)
            micro_batch.items = images
        return batch

    def minimize(
        self, name: str, batch: list[MicroBatch], loss: Loss, max_norm: float | None = None
    ) -> dict[str, Tensor]:
        """One optimizer step of the module of this name; returns the means of its numbers over the batch.

        loss: returns the mean loss of a micro-batch, and its numbers. max_norm: clips the norm of all gradients, and
        adds it to the numbers as `gradient_norm`.
        """
        self.optimizers[name].zero_grad()
        numbers = []
        for micro_batch in batch:
            value, parts = loss(micro_batch)
            with self.averaging(name, last=micro_batch is batch[-1]):
                self.accelerator.backward(micro_batch.weighted(value))
            numbers.append({key: number.detach() for key, number in parts.items()})
        means = weighted_means(numbers, batch)
        norm = None if max_norm is None else self.accelerator.clip_grad_norm_(self.modules[name].parameters(), max_norm)
        self.optimizers[name].step()
        if norm is not None and not self.skipped(name):
            means["gradient_norm"] = torch.as_tensor(norm)
        return means

    def averaging(self, name: str, last: bool) -> AbstractContextManager[None]:
        """Around a backward pass: gradients add up, and the `last` one of a step averages them over processes."""
        return averaged_gradients(self.accelerator, self.modules[name]) if last else nullcontext()

    @property
    def fused(self) -> bool:
        """Whether Adam is one kernel, which rounds alike on every CPU; with fp16, steps must be skippable."""
        return self.accelerator.scaler is None

    def skipped(self, name: str) -> bool:
        """Whether the last step of an optimizer was skipped because fp16 gradients overflowed (in any process)."""
        return bool(getattr(self.optimizers[name], "step_was_skipped", False))  # absent without a gradient scaler

    def set_learning_rate(self, rate: float) -> None:
        for group in self.optimizers["model"].param_groups:
            group["lr"] = rate

    # Results.

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """A contact sheet of the EMA's samples or reconstructions; the training's own weights are put back."""
        with self.ema.applied_to(self.model.parameters()):
            return contact_sheet(self.preview_rows())
