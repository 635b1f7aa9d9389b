"""One optimizer step of each training at the paper's sizes, on a CPU, in under 20 GB.

Batches of one in float32; `test_on_a_gpu.py` has the memory at the paper's batches. `pytest -rP
tests/slow/test_paper_size.py` shows time and memory.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("memory")]  # one at a time: each may take 20 GB

LIMIT_GB = 20
MEASURE = """
import json, resource, sys, time
from pathlib import Path
from pipeline.base.paths import CONFIG
from pipeline.base.process import keep_freed_memory
from pipeline.config.root import read_config
from pipeline.estimation.costs import make_task
from pipeline.training.loop import make_accelerator

keep_freed_memory()  # as every stage does
section, name, perceptual, folder = sys.argv[1:]
config = read_config(CONFIG / "paper.yaml")
settings = getattr(config, section)[name]
settings = settings.model_copy(update={
    "training": settings.training.model_copy(update={"batch": 1}),
    "execution": settings.execution.model_copy(update={"precision": "fp32", "gpus": 1, "micro_batch": None}),
})
task = make_task(config, settings, Path(perceptual), make_accelerator(settings.execution, Path(folder)))
task.start(0)
started = time.monotonic()
numbers = {key: float(value) for key, value in task.step(0).items()}
seconds = time.monotonic() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
size = sum(weight.numel() for weight in task.model.parameters())
print(json.dumps({"seconds": seconds, "peak_gb": peak, "parameters": size, "numbers": numbers}))
"""


def measure(section: str, name: str, perceptual: Path, folder: Path) -> dict[str, Any]:
    """Time and memory of a step of an entry of config/paper.yaml, in a process of its own."""
    command = [sys.executable, "-c", MEASURE, section, name, str(perceptual), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {found['seconds']:.1f} s, peak memory {found['peak_gb']:.1f} GB of {LIMIT_GB} GB, {found}")
    assert found["peak_gb"] < LIMIT_GB
    return found


def test_a_step_of_the_autoencoder_has_all_losses(tmp_path: Path, networks_folder: Path) -> None:
    found = measure("autoencoders", "ffhq-64x64x4", networks_folder / "lpips_vgg.safetensors", tmp_path)
    assert set(found["numbers"]) == {
        *("l2", "perceptual", "adversarial", "gradient_ratio", "critic_estimate", "gradient_penalty")
    }
    assert found["numbers"]["perceptual"] > 0
    assert found["parameters"] > 20e6


def test_a_step_of_the_diffusion_model_has_the_papers_unet(tmp_path: Path, networks_folder: Path) -> None:
    found = measure("diffusions", "ffhq", networks_folder / "lpips_vgg.safetensors", tmp_path)
    assert found["parameters"] == pytest.approx(357.924e6, abs=500)
