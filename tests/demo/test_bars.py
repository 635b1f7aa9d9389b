"""The demo's quality against the bars of docs/csv/demo-bars.csv.

Reads a finished demo: `make demo` before, `make bars` runs this.

BRIGHT_DEMO_RUN names another run, such as the one with a second training seed (`make second-seed`).
"""

import json
import os
from csv import DictReader
from pathlib import Path
from typing import Any

import pytest
from bright_pipeline.engine.checksums import result_libraries

pytestmark = pytest.mark.demo

RUN = Path(__file__).parents[2] / "results" / os.environ.get("BRIGHT_DEMO_RUN", "demo")
NETWORK = "efficientnet_lite0"
SAMPLES = "1000"
with (RUN.parents[1] / "docs" / "csv" / "demo-bars.csv").open(encoding="utf-8") as file:
    BARS = {row["quantity"]: float(row["bar"]) for row in DictReader(file)}
NUMBERS = RUN.parents[1] / "docs" / "csv" / "demo-metrics.json"
"""The metrics.json of a demo with portable kernels (docs/testing.md)."""


@pytest.fixture(scope="module")
def metrics() -> dict[str, Any]:
    path = RUN / "metrics.json"
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make demo` first")
    return json.loads(path.read_text(encoding="utf-8"))


def frechet_distance(metrics: dict[str, Any], samples: str) -> float:
    return metrics["generation"][samples][NETWORK][SAMPLES]["frechet_distance"]


@pytest.mark.parametrize(
    ("metric", "larger_is_better"), [("psnr", True), ("ssim", True), ("lpips_alex", False), ("lpips_vgg", False)]
)
def test_reconstructions_are_as_faithful_as_the_bar(metrics, metric, larger_is_better) -> None:
    reached, bar = metrics["reconstruction"]["main"][metric], BARS[metric]
    print(f"{metric} {reached:.4f}, bar {bar}")
    assert reached >= bar if larger_is_better else reached <= bar


def test_samples_are_near_the_validation_images_and_no_copies_of_training_images(metrics: dict[str, Any]) -> None:
    reached, floor, gaussian = (frechet_distance(metrics, samples) for samples in ("main", "real", "gaussian"))
    print(f"Frechet distance (EfficientNet-Lite0) {reached:.1f}, real against real {floor:.1f}")
    print(f"Frechet distance over that of Gaussian codes {reached / gaussian:.3f}")
    ratio = metrics["neighbours"]["main"]["ratio"]
    print(f"Median LPIPS to the nearest training image, over that of validation images {ratio:.3f}")
    assert floor < reached <= BARS["frechet_distance"]
    assert reached / gaussian <= BARS["frechet_distance_over_gaussian"]
    assert ratio >= BARS["neighbour_ratio"]


@pytest.mark.skipif(RUN.name != "demo", reason="the committed numbers are the demo's, of seed 0")
def test_every_number_equals_the_committed_one(metrics: dict[str, Any]) -> None:
    """On every x86-64 processor with AVX2, with the locked versions (docs/processors.md); nearly with another build."""
    made_with = [made for folder in (RUN.parent / "store").glob("*/*") for made in result_libraries(folder)]
    kernels = {made.get("cpu", "portable") for made in made_with}
    builds = {made.get("torch", "+cpu").partition("+")[2] for made in made_with}
    if kernels != {"portable"}:
        pytest.skip(f"results/store has results of other kernels: {', '.join(sorted(kernels))}")
    if not NUMBERS.is_file():
        pytest.skip(f"{NUMBERS.name} is not committed yet: the numbers of a demo with portable kernels")
    committed = json.loads(NUMBERS.read_text(encoding="utf-8"))
    exact = builds == {"cpu"}
    assert numbers(metrics) == (numbers(committed) if exact else pytest.approx(numbers(committed), rel=5e-3, abs=1e-6))


def numbers(nested: dict[str, Any], *keys: str) -> dict[str, Any]:
    """The numbers of metrics.json by their keys, joined with dots."""
    if not isinstance(nested, dict):
        return {".".join(keys): nested}
    return {name: number for key, inner in nested.items() for name, number in numbers(inner, *keys, key).items()}
