"""A training in two processes has the losses of one in one process: same global batch; the rule starts both."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tiny_workflow import Workflow, empty_workflow

pytestmark = pytest.mark.slow

STEPS = 30
TOLERANCE = 1e-4


def trained(folder: Path, networks: Path, processes: int) -> Workflow:
    """The tiny run's trainings in float32, in this number of processes of one thread.

    With the tiny config's learning rates, a difference in the last bit grows with every step. With the paper's epsilon,
    Adam makes full steps along gradients that are rounding errors, such as that of the last bias of a Wasserstein
    discriminator, 1 - 1. Both are milder here.
    """
    workflow = empty_workflow(folder, networks)

    def change(config: dict[str, Any]) -> None:
        execution = {"gpus": processes, "log_every": 1, "precision": "fp32"}
        main = config["autoencoders"]["main"]
        main["training"] |= {"images": 8 * STEPS, "learning_rate": 1e-4}
        main["training"] |= {"epsilon": 1e-6, "discriminator_epsilon": 1e-5}
        main["losses"]["adversarial"] |= {"start_images": 40, "critic_only_images": 40}
        main["execution"] |= execution
        diffusion = config["diffusions"]["main"]
        diffusion["training"] |= {"steps": STEPS, "learning_rate": 1e-4}
        diffusion["execution"] |= execution
        del config["autoencoders"]["without-noise"], config["tables"]
        config["samples"] = {"main": config["samples"]["main"]}

    workflow.configure(change)
    workflow.run("--until", "train_diffusion", "--cores", str(processes))
    return workflow


def history(workflow: Workflow, section: str) -> pd.DataFrame:
    return pd.read_csv(workflow.path(f"results/store/{section}/*/*.history.csv")).drop(columns="seconds")


def test_two_processes_log_the_losses_of_one(tmp_path: Path, networks_folder: Path) -> None:
    one, two = (trained(tmp_path / name, networks_folder, n) for n, name in ((1, "one"), (2, "two")))
    for section, losses in (
        ("autoencoders", ["l2", "perceptual", "adversarial", "gradient_penalty"]),
        ("diffusions", ["loss", "error", "gradient_norm"]),
    ):
        ours, theirs = history(two, section), history(one, section)
        assert ours["step"].tolist() == theirs["step"].tolist() == list(range(1, STEPS + 1))
        assert (ours["images"] == theirs["images"]).all()
        assert (ours[losses].isna() == theirs[losses].isna()).all(axis=None)
        worst = ((ours[losses] - theirs[losses]).abs() / theirs[losses].abs()).max()
        print(section, worst.to_dict())
        assert (worst <= TOLERANCE).all(), worst
        assert theirs[losses].nunique().min() > STEPS / 2, "constant losses would prove nothing"
    for stage in ("train_autoencoder", "train_diffusion"):
        assert "process 1 of 2" in two.text(f"results/logs/{stage}-*.log")
