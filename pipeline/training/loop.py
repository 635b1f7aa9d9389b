"""The training loop of every model: steps, history, previews, saved states, exact resume.

A task says what one step is (`pipeline.training.task`); the loop knows nothing of the model.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from pipeline.base.command import TERMINATED
from pipeline.base.errors import InputError
from pipeline.base.locks import lock_work_folder
from pipeline.base.paths import snapshot_path
from pipeline.base.process import on_end_request
from pipeline.base.progress import Progress, logger
from pipeline.data.pictures import save_picture
from pipeline.models.autoencoder import HALF
from pipeline.settings.execution import Execution
from pipeline.training.history import History
from pipeline.training.processes import EndRequests, average_numbers
from pipeline.training.state import all_finite, load_tree, save_tree
from pipeline.training.task import TrainingTask
from pipeline.training.trackers import log_with, start_trackers

LONG_S, SAVING = 5.0, 0.05  # states that take so long to save are saved in so much of a training's time, at most
SMALLEST_SCALE = 2.0**-24  # fp16's own smallest number: gradients that overflow below are no matter of scale


def make_accelerator(execution: Execution, work: Path) -> Accelerator:
    """accelerate's view of devices, precision and processes; the CPU's threads are fixed (promise 2)."""
    cpu, precision = not torch.cuda.is_available(), execution.precision
    if cpu:
        torch.set_num_threads(execution.cpu_threads)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    mixed = precision if precision in HALF else "no"
    trackers = log_with(execution.trackers, work)
    accelerator = Accelerator(mixed_precision=mixed, cpu=cpu, log_with=trackers, project_dir=str(work))
    if accelerator.num_processes > 1:
        place = accelerator.process_index, accelerator.num_processes, os.environ.get("SLURMD_NODENAME", platform.node())
        logger.info("process %d of %d on node %s, %s", *place, accelerator.device)
    return accelerator


def pause(wanted_s: float, took_s: float) -> float:
    """Seconds until the next state is saved, when saving the last one took so many."""
    return wanted_s if took_s < LONG_S else max(wanted_s, took_s / SAVING)


class Loop:
    """Runs a task to its last step. Killed at any moment and started again, it gives the same bits on a CPU."""

    def __init__(
        self,
        task: TrainingTask,
        execution: Execution,
        accelerator: Accelerator,
        work: Path,
        validate: Callable[[Any], dict[str, float]] | None = None,
        save_model: Callable[[Path], None] | None = None,
    ):
        """validate: numbers of the model, whatever weights it has then. save_model: writes a file of it."""
        self.task, self.execution, self.accelerator, self.work = task, execution, accelerator, work
        self.validate, self.save_model = validate, save_model
        self.state_path = work / "state.safetensors"
        self.terminated = False
        self.end_requests = EndRequests(accelerator)

    def run(self) -> History:
        """Train; returns the whole history. Asked to end, it saves the state and exits with 143."""
        on_end_request(self._on_request)
        with lock_work_folder(self.work, report=logger.info) if self.accelerator.is_main_process else nullcontext():
            self.accelerator.wait_for_everyone()
            first = self._resume()
            history = History(self.work / "history.csv", first)
            start_trackers(self.accelerator, self.work)
            self.task.start(first)
            self._train(first, history)
            self.accelerator.end_training()
            return history

    def _train(self, first: int, history: History) -> None:
        task, main = self.task, self.accelerator.is_main_process
        started_at, seconds_before = time.monotonic(), history.seconds
        save_at = started_at + self.execution.save_every_s
        preview_every = task.steps // self.execution.previews if self.execution.previews else task.steps + 1
        with Progress(task.name, task.steps, "steps", first, visible=main) as progress:
            for step in range(first, task.steps):
                numbers = task.step(step)
                done = step + 1
                note = ""
                validates = self.validate is not None and self._due(self.execution.validate_every, done)
                if self._due(self.execution.log_every, done) or validates:
                    row = self._checked(average_numbers(self.accelerator, numbers), done)
                    if main and validates:
                        row |= self._validated()
                    seconds = seconds_before + time.monotonic() - started_at
                    history.add({"step": done, "images": done * task.batch, "seconds": seconds, **row})
                    self.accelerator.log(row, step=done)
                    note = ", ".join(f"{key} {value:.4g}" for key, value in row.items())
                if main and preview_every and done % preview_every == 0 and done < task.steps:
                    save_picture(self.work / "previews" / f"{done:08d}.png", task.preview())
                if main and self.execution.keep_every and done % self.execution.keep_every == 0:
                    self._keep(done)
                ending = self.end_requests.heard(done, self.terminated) and done < task.steps
                if ending or time.monotonic() >= save_at or done == task.steps:
                    started_saving = time.monotonic()
                    self._save(done, numbers, history)
                    saved_at = time.monotonic()
                    save_at = saved_at + pause(self.execution.save_every_s, saved_at - started_saving)
                progress.advance(note=note)
                if ending:
                    self.accelerator.wait_for_everyone()  # torchrun ends those that save when others have ended
                    logger.info("%s: asked to end: state saved at step %d", task.name, done)
                    sys.exit(TERMINATED)

    def _due(self, every: int, done: int) -> bool:
        """Whether something is done after so many steps that is done every so many, and after the last."""
        return bool(every) and (done % every == 0 or done == self.task.steps)

    def _validated(self) -> dict[str, float]:
        """Numbers of the averaged weights."""
        assert self.validate is not None
        with self.task.average.lent_to(self.task.model.parameters()):
            return self.validate(self.task.model)

    def _keep(self, step: int) -> None:
        """The averaged weights of this step; a training that is killed before its state is saved writes them again."""
        if self.save_model is not None:
            with self.task.average.lent_to(self.task.model.parameters()):
                self.save_model(snapshot_path(self.work, step))

    def _checked(self, numbers: dict[str, Tensor], step: int) -> dict[str, float]:
        row = {key: float(value) for key, value in numbers.items()}
        wrong = [key for key, value in row.items() if value != value or abs(value) == float("inf")]
        if wrong:
            raise InputError(
                f"{self.task.name}: {', '.join(wrong)} is not a finite number at step {step}; lower"
                f" training.learning_rate or set execution.precision to fp32. The last good state stays in {self.work}"
            )
        scaler = self.accelerator.scaler
        if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            raise InputError(
                f"{self.task.name}: gradients overflow in fp16 however small their scale, at step {step} again; set"
                f" execution.precision to bf16 or fp32. The last good state stays in {self.work}"
            )
        return row

    def _save(self, step: int, numbers: dict[str, Tensor], history: History) -> None:
        self._checked(numbers, step)
        if not all_finite(self.task.modules):
            raise InputError(f"{self.task.name}: a weight is not a finite number at step {step}; see the losses before")
        if self.accelerator.is_main_process:
            history.save()
            parts = self._parts().items()
            states = {kind: {name: one.state_dict() for name, one in own.items()} for kind, own in parts}
            save_tree(self.state_path, {"step": step, **states})

    def _parts(self) -> dict[str, dict[str, Any]]:
        """All that has a state."""
        task, scaler = self.task, self.accelerator.scaler
        parts = {"modules": task.modules, "optimizers": task.optimizers, "averages": {"model": task.average}}
        return parts | ({"scaler": {"scaler": scaler}} if scaler is not None else {})

    def _resume(self) -> int:
        if not self.state_path.exists():
            return 0
        state = load_tree(self.state_path)
        for kind, parts in self._parts().items():
            for name, part in parts.items():
                part.load_state_dict(state[kind][name])
        logger.info("%s: resumed at step %d of %d", self.task.name, state["step"], self.task.steps)
        return state["step"]

    def _on_request(self, number: int, frame: FrameType | None) -> None:
        self.terminated = True
