"""The demo's quality against its bars. Reads a finished demo: `make demo` before, `make bars` runs this.

BRIGHT_DEMO_RUN names another run, such as the one with a second training seed (`make second-seed`).
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.demo

RUN = Path(__file__).parents[2] / "results" / os.environ.get("BRIGHT_DEMO_RUN", "demo")
NETWORK = "efficientnet_lite0"
SAMPLES = "1000"


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    path = RUN / "metrics.json"
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make demo` first")
    return json.loads(path.read_text(encoding="utf-8"))


def frechet_distance(metrics: dict[str, Any], samples: str) -> float:
    return metrics["generation"][samples][NETWORK][SAMPLES]["frechet_distance"]


@pytest.mark.parametrize(
    ("metric", "low", "high"),
    [("psnr", 27.0, 99), ("ssim", 0.935, 1), ("lpips_alex", 0, 0.008), ("lpips_vgg", 0, 0.067)],
)
def test_reconstructions_are_as_faithful_as_the_bar(
    metrics: dict[str, Any], metric: str, low: float, high: float
) -> None:
    reached = metrics["reconstruction"]["main"][metric]
    print(f"{metric} {reached:.4f}, should be between {low} and {high}")
    assert low <= reached <= high


def test_samples_are_near_the_validation_images_and_no_copies_of_training_images(metrics: dict[str, Any]) -> None:
    reached, floor, gaussian = (frechet_distance(metrics, samples) for samples in ("main", "real", "gaussian"))
    print(f"Frechet distance (EfficientNet-Lite0) {reached:.1f}, bar 345; real against real {floor:.1f}")
    print(f"Frechet distance over that of Gaussian codes {reached / gaussian:.3f}, bar 0.35")
    ratio = metrics["neighbours"]["main"]["ratio"]
    print(f"Median LPIPS to the nearest training image, over that of validation images {ratio:.3f}, bar 0.8")
    assert floor < reached <= 345
    assert reached / gaussian <= 0.35
    assert ratio >= 0.8
