"""fp16: a step whose scaled gradients overflow is skipped, and the training continues with a smaller scale."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
from bright_pipeline.base.errors import InputError
from bright_pipeline.models.bright import Bright
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.settings.diffusion import Diffusion
from bright_pipeline.training.autoencoder import AutoencoderTask
from bright_pipeline.training.batches import TrainingCodes, TrainingImages
from bright_pipeline.training.diffusion import DiffusionTask
from bright_pipeline.training.loop import Loop, make_accelerator
from bright_pipeline.training.task import TrainingTask
from torch.amp import GradScaler

LARGEST = 2.0**127  # a scale at which float32 overflows, as half precision does much earlier
STEPS = 6

pytestmark = pytest.mark.usefixtures("fresh_process")


def train(task: TrainingTask, work: Path) -> list[dict[str, str]]:
    """The rows of the history."""
    Loop(task, work).run()
    with (work / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def make(tmp_path: Path, tiny_autoencoder: Any, tiny_diffusion: Any, tiny_images: Path) -> Any:
    """Make a training whose losses are scaled, as on a GPU with fp16; an overflow reduces the scale."""

    def made(kind: str, scale: float, backoff: float = 2.0**-40) -> TrainingTask:
        how = {"precision": "fp16", "previews": 0}
        autoencoder = Autoencoder.model_validate(tiny_autoencoder(training={"images": 4 * STEPS}, execution=how))
        accelerator = make_accelerator(autoencoder.execution, tmp_path)
        accelerator.scaler = GradScaler("cpu", init_scale=scale, backoff_factor=backoff, growth_interval=10**6)
        accelerator.native_amp = True
        if kind == "autoencoder":
            return AutoencoderTask(autoencoder, TrainingImages(tiny_images), None, 0, accelerator)
        diffusion = Diffusion.model_validate(tiny_diffusion(training={"steps": STEPS}, execution=how))
        codes = torch.rand(10, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        return DiffusionTask(diffusion, TrainingCodes(codes, Bright(autoencoder, 32, 1)), 0, accelerator)

    return made


@pytest.mark.parametrize(
    ("kind", "norm", "losses"),
    [("diffusion", "gradient_norm", ("loss", "error")), ("autoencoder", "gradient_ratio", ("l2", "adversarial"))],
)
def test_an_overflow_ends_no_training_and_leaves_the_norm_of_its_step_empty(make, tmp_path, kind, norm, losses) -> None:
    rows = train(make(kind, LARGEST), tmp_path)
    skipped = [row[norm] == "" for row in rows]
    assert len(rows) == STEPS and skipped[0] and skipped == sorted(skipped, reverse=True) and not skipped[-1]
    assert all(row[name] for row in rows for name in losses)


def test_a_step_that_overflows_moves_no_weight(make: Any) -> None:
    task = make("diffusion", LARGEST)
    task.start(0)
    before = [p.detach().clone() for p in task.model.parameters()]
    task.step(0)
    assert task.skipped("model")
    assert all(map(torch.equal, before, task.model.parameters()))


def test_gradients_that_overflow_at_any_scale_end_the_training_with_one_line(make: Any, tmp_path: Path) -> None:
    task = make("diffusion", 2.0**-20, backoff=0.5)
    weight = next(task.model.parameters())
    weight.register_hook(lambda gradient: gradient * float("inf"))
    with pytest.raises(InputError, match=r"fp16 .*; set execution\.precision to bf16") as error:
        train(task, tmp_path)
    assert "\n" not in str(error.value)


def test_a_loss_that_is_not_a_number_ends_an_fp16_training_too(make: Any, tmp_path: Path) -> None:
    task = make("autoencoder", LARGEST)
    next(task.model.encoder.parameters()).data.fill_(float("nan"))
    with pytest.raises(InputError, match="l2"):
        train(task, tmp_path)
