"""One optimizer step of each training at the paper's sizes, on a CPU, in under 20 GB.

`pytest -rP tests/slow/test_paper_size.py` shows time and memory.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.config.root import read_config
from pipeline.data.archive import ArchiveWriter, image_name

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("memory")]  # one at a time: each may take 20 GB

REPOSITORY = Path(__file__).parents[2]
LIMIT_GB = 20

MEASURE = """
import json, resource, sys, time
from pathlib import Path
import torch, yaml
from pipeline.base.process import keep_freed_memory
from pipeline.settings.{module} import {kind}
from pipeline.training.loop import make_accelerator
from pipeline.training.{module} import {kind}Task

keep_freed_memory()  # as every stage does
values, folder = json.loads(sys.argv[1]), Path(sys.argv[2])
settings = {kind}.model_validate(values)
accelerator = make_accelerator(settings.execution, folder)
{make}
task.start(0)
started = time.monotonic()
numbers = {{key: float(value) for key, value in task.step(0).items()}}
seconds = time.monotonic() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
parameters = {{name: sum(p.numel() for p in module.parameters()) for name, module in task.modules.items()}}
print(json.dumps({{"seconds": seconds, "peak_gb": peak, "parameters": parameters, "numbers": numbers}}))
"""

MAKE_AUTOENCODER = """
from pipeline.training.batches import TrainingImages
task = AutoencoderTask(settings, TrainingImages(folder / "train.zip"), Path(sys.argv[3]), 0, accelerator)
"""

MAKE_DIFFUSION = """
from types import SimpleNamespace
from pipeline.training.batches import TrainingCodes
decoder = SimpleNamespace(code_range=(0.0, 1.0))  # all that a step asks of it
task = DiffusionTask(settings, TrainingCodes(torch.rand(4, 4, 64, 64), decoder), 0, accelerator)
"""


def paper(section: str, name: str) -> dict[str, Any]:
    """An experiment of config/paper.yaml in float32, with batches of one: memory at its own is in test_on_a_gpu.py."""
    config = read_config(REPOSITORY / "config" / "paper.yaml")
    values = getattr(config, section)[name].model_dump(mode="json")
    changes = {"training": {"batch": 1}, "execution": {"precision": "fp32", "gpus": 1, "micro_batch": None}}
    return values | {key: values[key] | change for key, change in changes.items()}


def measure(what: str, module: str, kind: str, make: str, values: dict, *arguments: str) -> dict:
    code = MEASURE.format(module=module, kind=kind, make=make)
    command = [sys.executable, "-c", code, json.dumps(values), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{what}: {found['seconds']:.1f} s, peak memory {found['peak_gb']:.1f} GB of {LIMIT_GB} GB, {found}")
    return found


def test_a_step_of_the_autoencoder_with_all_losses_takes_less_than_20_gb(tmp_path: Path, networks_folder: Path) -> None:
    with ArchiveWriter(tmp_path / "train.zip", channels=3) as archive:
        archive.add(image_name(0), np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8))
    values = paper("autoencoders", "ffhq-64x64x4")
    found = measure(
        "autoencoder step",
        "autoencoder",
        "Autoencoder",
        MAKE_AUTOENCODER,
        values,
        str(tmp_path),
        str(networks_folder / "lpips_vgg.safetensors"),
    )
    assert found["peak_gb"] < LIMIT_GB
    assert set(found["numbers"]) == {
        *("l2", "perceptual", "adversarial", "gradient_ratio", "critic_estimate", "gradient_penalty")
    }
    # Of random images and weights that start small, and of a network whose every part is there.
    assert found["numbers"]["perceptual"] > 0
    assert found["parameters"]["model"] > 20e6


def test_a_step_of_the_diffusion_model_takes_less_than_20_gb(tmp_path: Path) -> None:
    found = measure(
        "diffusion step", "diffusion", "Diffusion", MAKE_DIFFUSION, paper("diffusions", "ffhq"), str(tmp_path)
    )
    assert found["peak_gb"] < LIMIT_GB
    assert found["parameters"]["model"] == pytest.approx(357.924e6, abs=500)
