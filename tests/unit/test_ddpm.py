"""DDPM: a diffusion model on pixels."""

from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.families import parse_generator
from pipeline.models.ddpm import DDPM
from pipeline.settings.diffusion import Sampler
from pipeline.training.batches import TrainingImages
from pipeline.training.ddpm import DDPMTask
from pipeline.training.loop import make_accelerator

pytestmark = pytest.mark.usefixtures("fresh_process")


@pytest.fixture
def settings(tiny_diffusion: Any) -> Any:
    how = {"unet": {"attention_resolutions": [16]}, "training": {"steps": 60, "learning_rate": 2e-3}}
    own = {"family": "ddpm", "dataset": "any", "autoencoder": None}
    return parse_generator(tiny_diffusion(**how) | own, "here")


@pytest.fixture
def task(settings: Any, tmp_path: Path, tiny_images: Path) -> DDPMTask:
    made = DDPMTask(settings, TrainingImages(tiny_images), 0, make_accelerator(settings.execution, tmp_path))
    made.start(0)
    return made


def test_the_defaults_are_hos_network_for_256_x_256() -> None:
    """Ho et al. 2020, appendix B: 114 million parameters; diffusers' blocks have a few more."""
    settings: Any = parse_generator({"family": "ddpm", "dataset": "any"}, "here")
    with torch.device("meta"):
        model = DDPM(settings, (3, 256, 256))
    assert 110e6 < sum(p.numel() for p in model.parameters()) < 118e6


def test_training_learns_to_denoise_images(task: DDPMTask) -> None:
    errors = [float(task.step(step)["error"]) for step in range(60)]
    assert sum(errors[-15:]) < 0.8 * sum(errors[:15])


@pytest.mark.parametrize("kind", ["ddpm", "ddim", "dpm_solver"])
def test_an_image_depends_on_the_seed_and_its_index_alone(task: DDPMTask, kind: str) -> None:
    model, sampler = task.final_model().eval(), Sampler(kind=kind, steps=3)
    first, other = model.sample([0, 1, 2], 5, sampler), model.sample([2, 7, 0], 5, sampler)
    assert first.shape == (3, 1, 32, 32)
    assert first.abs().max() <= 1
    assert torch.equal(first[0], other[2])
    assert torch.equal(first[2], other[0])
    assert not torch.equal(first[0], model.sample([0, 1, 2], 6, sampler)[0])


def test_more_levels_than_an_image_can_be_halved_are_refused(settings: Any) -> None:
    with pytest.raises(ValueError, match=r"unet.multipliers: 2 levels halve an image of size 3 1 times"):
        settings.check_shape((1, 3, 3))
