"""A model that begins with the tiny run's weights, beside one that begins with random ones."""

import json
from typing import Any

import pytest
from tiny_workflow import Workflow

pytestmark = pytest.mark.slow

STEPS, BATCH = 20, 8


def with_two_trainings(config: dict[str, Any]) -> None:
    training = {"images": STEPS * BATCH}
    config["autoencoders"]["scratch"] = {"like": "main", "training": training}
    config["autoencoders"]["tuned"] = {"like": "scratch", "initial_weights": "main"}
    config["tables"]["table2"] = ["main", "scratch", "tuned"]


def test_twenty_steps_from_the_tiny_runs_model_are_better_than_twenty_from_scratch(play: Workflow) -> None:
    play.configure(with_two_trainings)
    made = play.run("table2", "--until", "reconstruct")
    assert made.jobs == {"train_autoencoder": 2, "reconstruct": 2}
    digests = {path.name.partition("-")[0]: path.name.rpartition("-")[2] for path in play.folders("autoencoders")}
    assert digests["tuned"] not in (digests["main"], digests["scratch"])
    assert psnr(play, "tuned") > psnr(play, "scratch")


def psnr(play: Workflow, name: str) -> float:
    """Of the validation images' reconstructions, in dB."""
    (folder,) = (path for path in play.folders("reconstructions") if path.name.startswith(f"{name}-"))
    return json.loads((folder / "summary.json").read_text())["values"]["psnr"]["number"]
