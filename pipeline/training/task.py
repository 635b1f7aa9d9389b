"""What every training has: batches in their order, random numbers, optimizers, averaged weights, a preview.

All that a step draws at random is a function of (seed, step), so the state of a training is its modules
and optimizers, saved and restored by their names, its averages, and the step's number.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from math import cos, pi
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from accelerate import Accelerator
from PIL import Image
from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.base.seeds import seed_for
from pipeline.data.archive import to_model
from pipeline.data.pictures import contact_sheet
from pipeline.models.compiling import compile_networks
from pipeline.models.recomputing import recompute
from pipeline.models.weights import fill
from pipeline.settings.diffusion import Sampler
from pipeline.settings.execution import Execution
from pipeline.training.average import WeightAverage
from pipeline.training.order import StepOrder
from pipeline.training.processes import averaged_gradients, mean_numbers
from pipeline.training.randomness import StepRandom

PREVIEW_IMAGES = 8
PREVIEW_SAMPLER = Sampler(kind="ddim", steps=20)


def learning_rate(training: Any, step: int) -> float:
    """Linear warm-up to the settings' learning rate, then cosine decay to zero at the last step (section 4) or none."""
    if step < training.warmup_steps:
        return training.learning_rate * (step + 1) / training.warmup_steps
    if getattr(training, "decay", "cosine") == "none":
        return training.learning_rate
    progress = (step - training.warmup_steps) / max(1, training.steps - training.warmup_steps)
    return training.learning_rate * 0.5 * (1 + cos(pi * progress))


Module = TypeVar("Module", bound=nn.Module)


@dataclass
class Part:
    """What a process sees at once of its share of a batch: all of it, or `execution.micro_batch` of it."""

    items: Tensor
    """(n, ...)."""
    random: StepRandom
    """Of its rows."""
    share: float
    """Of the process's share of the batch."""

    def weighed(self, loss: Tensor) -> Tensor:
        """What a mean over its items adds to the mean over the process's share of the batch."""
        return loss if self.share == 1 else self.share * loss


class TrainingData(Protocol):
    """What a model is trained on."""

    def __len__(self) -> int: ...

    def batches(self, order: StepOrder) -> Iterator[Tensor]:
        """The items of each batch of this process."""


class TrainingTask:
    """One training. A task derives from it, makes its `model` and says what a `step` is."""

    name: str
    model: Any
    fullest_step = 0
    """A step that does all that steps of this training do."""

    def __init__(
        self,
        data: TrainingData,
        batch: int,
        steps: int,
        seed: int,
        accelerator: Accelerator,
        execution: Execution | None = None,
    ):
        """batch: items of a step, over all processes. Networks made from here on have their seed's weights."""
        self.execution = execution or Execution()
        self.data, self.batch, self.steps = data, batch, steps
        self.seed, self.accelerator, self.device = seed, accelerator, accelerator.device
        self.place = accelerator.process_index, accelerator.num_processes
        self.fused: bool | None = True if self.device.type != "cpu" else None
        """Whether Adam is one kernel for all weights; the CPU's does what it does by default."""
        self.modules: dict[str, nn.Module] = {}
        self.optimizers: dict[str, Any] = {}
        self.batches: Iterator[Tensor] = iter(())
        torch.manual_seed(seed_for(seed, "initial weights"))

    def kinds_of_steps(self) -> dict[int, float]:
        """A step of each kind, and the share of all steps that do the same."""
        return {self.fullest_step: 1.0}

    def step(self, step: int) -> dict[str, Tensor]:
        """One step; returns its numbers, as scalars on the device."""
        raise NotImplementedError(f"{type(self).__name__}.step")

    def preview_rows(self) -> list[Tensor]:
        """Rows of images (N, C, R, R) in [-1, 1]: samples, always from the same noise."""
        return [self.model.sample(list(range(PREVIEW_IMAGES)), self.seed, PREVIEW_SAMPLER)]

    def add(self, name: str, module: Module) -> Module:
        """A part of the state, on the device."""
        self.modules[name] = module.to(self.device)
        return module

    def add_model(self, model: Module) -> Module:
        """The model that is trained; InputError where it can't do what `execution` says."""
        if self.execution.checkpointing and not recompute(model):
            raise InputError(
                f"{self.name}: execution.checkpointing: no block of this network can be computed again; leave it out"
            )
        model = self.add("model", model)
        if self.execution.channels_last:
            model.to(memory_format=torch.channels_last)  # features follow the weights of convolutions
        if self.execution.compile:
            compile_networks(model, self.device)
        return model

    def optimize(self, name: str, optimizer: torch.optim.Optimizer) -> None:
        """The optimizer of the module of this name."""
        self.optimizers[name] = self.accelerator.prepare(optimizer)

    def average_weights(self, decay: float) -> None:
        """Keep averages of the model's weights, decayed so much by each step."""
        self.average = WeightAverage(self.model.parameters(), decay)

    def begin_with(self, weights: dict[str, Tensor], path: Path) -> None:
        """Trained weights, of the file at `path`, in place of random ones; InputError where they do not fit."""
        try:
            fill(self.model, weights, path)
        except InputError as error:
            raise InputError(f"initial_weights: {error}") from None
        self.average_weights(self.average.decay)

    def start(self, step: int) -> None:
        """Get ready to go on from `step` (the data loader's position)."""
        self.batches = self.data.batches(
            StepOrder(len(self.data), self.batch, self.seed, step, self.steps, *self.place)
        )

    def random(self, step: int, what: str | None = None, batch: int | None = None) -> StepRandom:
        """The random numbers of a step; of `what` alone, with a batch of its own, where that is given."""
        seed = self.seed if what is None else seed_for(self.seed, what)
        return StepRandom(seed, step, batch or self.batch, self.device, *self.place)

    def next_parts(self, step: int) -> list[Part]:
        """The items of the next batch in the parts that are seen at once, on the device."""
        return self.parts_of(next(self.batches), self.random(step))

    def parts_of(self, items: Tensor, random: StepRandom) -> list[Part]:
        """This process's items of a batch in such parts."""
        parts = random.parts(self.execution.micro_batch)
        sizes = [part.rows.stop - part.rows.start for part in parts]
        return [
            Part(own.to(self.device, non_blocking=True), part, len(own) / len(items))
            for own, part in zip(items.split(sizes), parts, strict=True)
        ]

    def next_images(self, step: int, flip: bool) -> list[Part]:
        """The next images (n, C, R, R) in [-1, 1], half of them mirrored where `flip` is set."""
        parts = self.next_parts(step)
        for part in parts:
            part.items = to_model(part.items)
            if flip:
                mirrored = part.random.uniform((len(part.items), 1, 1, 1)) < 0.5
                part.items = torch.where(mirrored, part.items.flip(3), part.items)
        return parts

    def descend(
        self,
        name: str,
        parts: Sequence[Part],
        loss: Callable[[Part], tuple[Tensor, dict[str, Tensor]]],
        largest_norm: float | None = None,
    ) -> dict[str, Tensor]:
        """Move the module of this name down a batch's mean loss; returns the means of its numbers.

        loss: the mean loss of a part, and its numbers. A largest norm of gradients adds the number `gradient_norm`.
        """
        self.optimizers[name].zero_grad()
        numbers = []
        for part in parts:
            value, own = loss(part)
            with self.averaging(name, part is parts[-1]):
                self.accelerator.backward(part.weighed(value))
            numbers.append({key: number.detach() for key, number in own.items()})
        norm = self.follow_gradients(name, largest_norm)
        clipped = {} if norm is None or self.skipped(name) else {"gradient_norm": torch.as_tensor(norm)}
        return mean_numbers(numbers, [part.share for part in parts]) | clipped

    def averaging(self, name: str, last: bool) -> AbstractContextManager[None]:
        """Around a backward pass; in a step's last one the module's gradients are averaged over processes."""
        return averaged_gradients(self.accelerator, self.modules[name]) if last else nullcontext()

    def follow_gradients(self, name: str, largest_norm: float | None = None) -> Any:
        """Move the module of this name by its gradients; returns their norm where it has a largest one."""
        norm = None
        if largest_norm is not None:
            norm = self.accelerator.clip_grad_norm_(self.modules[name].parameters(), largest_norm)
        self.optimizers[name].step()
        return norm

    def skipped(self, name: str) -> bool:
        """Whether its optimizer left out its last step: scaled gradients (fp16) overflowed, in all processes."""
        return bool(getattr(self.optimizers[name], "step_was_skipped", False))  # of one without a scaler, never

    def set_learning_rate(self, training: Any, step: int) -> None:
        """The model's, after warm-up and decay."""
        for group in self.optimizers["model"].param_groups:
            group["lr"] = learning_rate(training, step)

    @torch.no_grad()
    def preview(self) -> Image.Image:
        """A picture of what the averaged weights can do; the training's weights are put back."""
        with self.average.lent_to(self.model.parameters()):
            return contact_sheet(self.preview_rows())

    def final_model(self) -> Any:
        """The model with its averaged weights: what all that follows is made with."""
        self.average.copy_to(self.model.parameters())
        return self.model
