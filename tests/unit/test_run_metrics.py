"""results/RUN/metrics.json: the main numbers of a run under the names of its config."""

import json
from pathlib import Path

import pytest

from pipeline.base.summary import Summary, Value, write_summary
from pipeline.config.root import read_config
from pipeline.plan.publish import publish
from pipeline.stages.autoencoders import autoencoder, reconstruction
from pipeline.stages.common import Job, Jobs
from pipeline.stages.evaluation import evaluation, neighbours

DEMO = Path(__file__).parents[2] / "config" / "demo.yaml"
PLACE = Path("results/demo/metrics.json")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Jobs:
    """The demo's plan in a folder without results."""
    monkeypatch.chdir(tmp_path)
    return Jobs(read_config(DEMO))


def finish(job: Job, **numbers: float) -> None:
    """Write the job's summary; every number has a standard deviation of 2."""
    values = {name.replace("__", "."): Value(number=number, std=2.0) for name, number in numbers.items()}
    write_summary(job.path("summary.json"), Summary(kind="any", values=values))


def test_metrics_have_the_numbers_of_finished_jobs_by_name(plan: Jobs) -> None:
    finish(plan(reconstruction, "main"), psnr=23.5, code_bits=12.0)
    network = "efficientnet_lite0"
    finish(plan(evaluation, "main", network, 1000), efficientnet_lite0__score_mean=530.0)
    finish(plan(evaluation, "main", network, 500), efficientnet_lite0__kernel_distance=560.0)
    finish(plan(neighbours, "main"), median_generated=0.1, median_validation=0.11, ratio=0.9, share_nearer=0.5)
    assert str(PLACE) in publish(plan, str(DEMO)).present
    assert json.loads(PLACE.read_text()) == {
        "reconstruction": {"main": {"psnr": 23.5}},
        "generation": {
            "main": {
                network: {
                    "1000": {"score_mean": 530.0, "score_std": 2.0},
                    "500": {"kernel_distance": 560.0, "kernel_distance_std": 2.0},
                }
            }
        },
        "neighbours": {"main": {"median_generated": 0.1, "median_validation": 0.11, "ratio": 0.9}},
    }


def test_publishing_again_leaves_the_file_alone(plan: Jobs) -> None:
    finish(plan(reconstruction, "main"), psnr=23.5)
    publish(plan, str(DEMO))
    written = PLACE.stat().st_mtime_ns
    publish(plan, str(DEMO))
    assert PLACE.stat().st_mtime_ns == written


def test_histories_are_published_under_the_models_names(plan: Jobs) -> None:
    stored = Path(plan(autoencoder, "main").path("autoencoder.history.csv"))
    stored.parent.mkdir(parents=True)
    stored.write_text("step,images,seconds,l2\n")
    publish(plan, str(DEMO))
    assert Path("results/demo/histories/autoencoder-main.csv").read_text() == stored.read_text()
