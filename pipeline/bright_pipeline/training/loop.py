"""The loop of every training: steps, history, previews, saved states, exact resume.

A task defines one step (`bright_pipeline.training.task`); the loop is independent of the model.
"""

import os
import platform
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Event
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from bright_pipeline.engine.command import TERMINATED
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.locks import lock_work_folder
from bright_pipeline.base.paths import snapshot_path
from bright_pipeline.base.process import on_end_request
from bright_pipeline.base.progress import Progress, logger
from bright_pipeline.data.pictures import save_picture
from bright_pipeline.models.autoencoder import HALF
from bright_pipeline.models.processor import use_cpu
from bright_pipeline.settings.execution import Execution
from bright_pipeline.training.history import PROJECT, RUN_NAME_KEYS, History, make_trackers
from bright_pipeline.training.processes import EndRequests, average_numbers
from bright_pipeline.training.state import all_finite, load_tree, save_tree
from bright_pipeline.training.task import TrainingTask

SLOW_SAVE_S, SAVING_SHARE = 5.0, 0.05  # states that take longer to save take at most this share of the training's time
SMALLEST_SCALE = 2.0**-24  # fp16's smallest number: gradients that overflow below it are not a matter of the loss scale


def make_accelerator(execution: Execution, work: Path) -> Accelerator:
    """accelerate's devices, precision and processes; a CPU uses a fixed number of threads, since sums depend on it."""
    cpu, precision = not torch.cuda.is_available(), execution.precision
    if cpu:
        use_cpu(execution.cpu_threads)
    torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    mixed = precision if precision in HALF else "no"
    trackers = make_trackers(execution.trackers, work)
    accelerator = Accelerator(mixed_precision=mixed, cpu=cpu, log_with=trackers, project_dir=str(work))
    if accelerator.num_processes > 1:
        node = os.environ.get("SLURMD_NODENAME", platform.node())
        process = accelerator.process_index, accelerator.num_processes
        logger.info("process %d of %d on node %s, %s", *process, node, accelerator.device)
    return accelerator


def pause(configured_s: float, save_s: float) -> float:
    """Seconds until the next save of a state, where the last one took `save_s`."""
    return configured_s if save_s < SLOW_SAVE_S else max(configured_s, save_s / SAVING_SHARE)


class Loop:
    """Runs a task to its last step. Killed at any moment and restarted, it gives bit-identical weights on a CPU."""

    def __init__(
        self,
        task: TrainingTask,
        work: Path,
        validate: Callable[[Any], dict[str, float]] | None = None,
        save_model: Callable[[Path], None] | None = None,
    ):
        """validate: measures the model with its current weights. save_model: writes the model to a file."""
        self.task, self.execution, self.accelerator, self.work = task, task.execution, task.accelerator, work
        self.validate, self.save_model = validate, save_model
        self.state_path = work / "state.safetensors"
        self.terminated = Event()
        self.end_requests = EndRequests(task.accelerator)

    def train(self, weights: Path, history: Path, preview: Path) -> None:
        """Run, then write the model with the EMA's weights, the history (csv) and the last preview (png)."""
        record, task = self.run(), self.task
        if self.accelerator.is_main_process and self.save_model is not None:
            save_picture(preview, task.preview())
            record.save(history)
            task.ema.copy_to(task.model.parameters())
            self.save_model(weights)

    def run(self) -> History:
        """Train; returns the whole history. Asked to end, it saves the state and exits with 143."""
        on_end_request(lambda number, frame: self.terminated.set())
        with lock_work_folder(self.work, report=logger.info) if self.accelerator.is_main_process else nullcontext():
            self.accelerator.wait_for_everyone()
            first = 0
            if self.state_path.exists():
                state = load_tree(self.state_path)
                if (other := state.get("training")) != self.work.name:
                    line = f"the state of another training, {other}; delete it to start again"
                    raise InputError(f"{self.state_path}: {line}")
                for kind, parts in self._stateful().items():
                    for name, part in parts.items():
                        if name not in state.get(kind, {}):
                            line = f"a training state without {kind}.{name}; delete it to start again"
                            raise InputError(f"{self.state_path}: {line}")
                        part.load_state_dict(state[kind][name])
                first = state["step"]
                logger.info("%s: resumed at step %d of %d", self.task.name, first, self.task.steps)
            history = History(self.work / "history.csv", first)
            # A run named like the work folder in each tracker.
            names = {tracker: {key: self.work.name} for tracker, key in RUN_NAME_KEYS.items()}
            self.accelerator.init_trackers(PROJECT, init_kwargs=names)
            self.task.start(first)
            self._train(first, history)
            self.accelerator.end_training()
            return history

    def _train(self, first: int, history: History) -> None:
        task, execution, main = self.task, self.execution, self.accelerator.is_main_process
        started_at, seconds_before = time.monotonic(), history.seconds
        save_at = started_at + execution.save_every_s
        preview_every = task.steps // execution.previews if execution.previews else task.steps + 1
        with Progress(task.name, task.steps, "steps", first, visible=main) as progress:
            for step in range(first, task.steps):
                numbers = task.step(step)
                done, note = step + 1, ""
                # A row of the history: means over all processes, and the EMA's validation on the main one.
                validates = self.validate is not None and self._due(execution.validate_every, done)
                if self._due(execution.log_every, done) or validates:
                    row = self._checked(average_numbers(self.accelerator, numbers), done)
                    if main and validates and self.validate is not None:
                        with task.ema.applied_to(task.model.parameters()):
                            row |= self.validate(task.model)
                    seconds = seconds_before + time.monotonic() - started_at
                    history.rows.append({"step": done, "images": done * task.batch, "seconds": seconds, **row})
                    self.accelerator.log(row, step=done)
                    note = ", ".join(f"{key} {value:.4g}" for key, value in row.items())
                if main and preview_every and done % preview_every == 0 and done < task.steps:
                    save_picture(self.work / "previews" / f"{done:08d}.png", task.preview())
                # A snapshot of the EMA; a training that is killed before its next saved state writes it again.
                if main and execution.keep_every and done % execution.keep_every == 0 and self.save_model is not None:
                    with task.ema.applied_to(task.model.parameters()):
                        self.save_model(snapshot_path(self.work, done))
                # The state: now and then, on request, and at the end.
                ending = self.end_requests.should_stop(done, self.terminated.is_set()) and done < task.steps
                if ending or time.monotonic() >= save_at or done == task.steps:
                    started_saving = time.monotonic()
                    self._save(done, numbers, history)
                    saved_at = time.monotonic()
                    save_at = saved_at + pause(execution.save_every_s, saved_at - started_saving)
                progress.advance(note=note)
                if ending:
                    self.accelerator.wait_for_everyone()  # when one process exits, torchrun ends those that still save
                    logger.info("%s: asked to end: state saved at step %d", task.name, done)
                    sys.exit(TERMINATED)

    def _due(self, every: int, done: int) -> bool:
        """Whether something that happens every so many steps, and after the last one, happens after `done` steps."""
        return bool(every) and (done % every == 0 or done == self.task.steps)

    def _checked(self, numbers: dict[str, Tensor], step: int) -> dict[str, float]:
        """A step's numbers as floats; InputError where one is not finite, or fp16's loss scale has become too small."""
        row = {key: float(value) for key, value in numbers.items()}
        last_state = f"The last good state stays in {self.work}"
        wrong = [key for key, value in row.items() if value != value or abs(value) == float("inf")]
        if wrong:
            remedy = "lower training.learning_rate or set execution.precision to fp32"
            line = f"{', '.join(wrong)} is not a finite number at step {step}; {remedy}. {last_state}"
            raise InputError(f"{self.task.name}: {line}")
        scaler = self.accelerator.scaler
        if scaler is not None and scaler.get_scale() < SMALLEST_SCALE:
            line = f"gradients overflow in fp16 at any loss scale, again at step {step}"
            raise InputError(f"{self.task.name}: {line}; set execution.precision to bf16 or fp32. {last_state}")
        return row

    def _save(self, step: int, numbers: dict[str, Tensor], history: History) -> None:
        """Save the state after `step` steps; a state that is not finite never replaces a good one."""
        self._checked(numbers, step)
        if not all_finite(self.task.modules):
            raise InputError(f"{self.task.name}: a weight is not a finite number at step {step}; see the losses before")
        if self.accelerator.is_main_process:
            history.save()
            state: dict[str, Any] = {"training": self.work.name, "step": step}
            for kind, parts in self._stateful().items():
                state[kind] = {name: part.state_dict() for name, part in parts.items()}
            save_tree(self.state_path, state)

    def _stateful(self) -> dict[str, dict[str, Any]]:
        task, scaler = self.task, self.accelerator.scaler
        parts = {"modules": task.modules, "optimizers": task.optimizers, "ema": {"model": task.ema}}
        return parts | ({"scaler": {"scaler": scaler}} if scaler is not None else {})
