"""Where a training's curves are followed beside its history: accelerate's trackers by name, `execution.trackers`."""

from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.tracking import TensorBoardTracker, get_available_trackers

from pipeline.base.errors import InputError

PROJECT = "bright"
# What each calls the name of one training in a project.
NAMED_BY = {"wandb": "name", "mlflow": "run_name", "trackio": "name", "swanlab": "experiment_name"}


def log_with(trackers: tuple[str, ...], work: Path) -> list[Any] | None:
    """What accelerate takes, TensorBoard's curves in the work folder; InputError names a package that is missing."""
    available = {str(name) for name in get_available_trackers()}
    if missing := [name for name in trackers if name not in available]:
        raise InputError(
            f"execution.trackers: {', '.join(missing)} is not installed here: pip install"
            f" {' '.join(name.replace('_', '-') for name in missing)}, or take it out of the list"
        )
    return [TensorBoardTracker("tensorboard", work) if name == "tensorboard" else name for name in trackers] or None


def start_trackers(accelerator: Accelerator, work: Path) -> None:
    """Open a run of this training's name in each of them."""
    names = {tracker: {key: work.name} for tracker, key in NAMED_BY.items()}
    accelerator.init_trackers(PROJECT, init_kwargs=names)
