"""A training on a real Slurm that is requeued, told to end, or killed for memory: the run ends well by itself."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from daemons import wait_for
from forkserver import REAL_PROCESSES
from interruptions import PATIENCE_S, TRAIN, going_on, resumed_step, saved_step, weights
from slurm_workflow import ClusterWorkflow
from tiny_workflow import copy_checkout

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

STEPS = 250
LIMIT_MB = 2400
# What the training gets to hold: more than its limit, less than twice that; slowly enough for Slurm, which looks every
# two seconds.
BALLAST = f"""
    import time

    ballast = []
    while len(ballast) < {int(1.1 * LIMIT_MB)} // 100:
        ballast.append(bytearray(b"x") * 100 * 2**20)
        time.sleep(0.25)
    data = TrainingImages(images)
"""


def long_training(config: dict[str, Any]) -> None:
    """Long enough to be interrupted; its state is saved all the time."""
    main = config["autoencoders"]["main"]
    main["training"]["images"] = main["training"]["batch"] * STEPS
    main["execution"]["save_every_s"] = 0.5


def test_a_training_that_is_requeued_and_then_told_to_end_goes_on_in_its_job_to_the_weights_of_one_left_alone(
    workflow: Callable[..., ClusterWorkflow],
) -> None:
    alone, disturbed = workflow("alone"), workflow("disturbed")
    for each in (alone, disturbed):
        each.configure(long_training)
    alone.run(*TRAIN)
    cluster = disturbed.cluster

    def goes_on() -> bool:
        cluster.hurry()
        return 0 < resumed_step(disturbed) < saved_step(disturbed)

    with going_on(disturbed, *TRAIN):
        wait_for(lambda: saved_step(disturbed) > STEPS // 10, PATIENCE_S, "no state was saved")
        (job,) = cluster.running()
        cluster.call("scontrol", "requeue", job)
        wait_for(goes_on, PATIENCE_S, "it did not go on")
        requeued_at = resumed_step(disturbed)
        assert "Restarts=1" in cluster.call("scontrol", "show", "job", job)
        # What the profile's --signal does before the time limit.
        cluster.call("scancel", "--signal=TERM", job)
        wait_for(
            lambda: "asked to end: state saved" in disturbed.log("train_autoencoder"), PATIENCE_S, "nothing was saved"
        )
        saved = saved_step(disturbed)
    assert "Restarts=2" in disturbed.job(), "it was no retry: its job put itself back into the queue"
    print(f"resumed at steps {requeued_at} and {saved} of {STEPS}")
    assert resumed_step(disturbed) == saved > requeued_at > STEPS // 10
    assert weights(disturbed) == weights(alone)


def test_a_job_killed_for_memory_succeeds_when_it_asks_again_for_more(
    workflow: Callable[..., ClusterWorkflow], tmp_path: Path
) -> None:
    run = workflow(checkout=copy_checkout(tmp_path / "checkout"))
    asks = "memory_mb={},\n)\nIMPORT_WEIGHTS".format
    run.edited("pipeline/stages/autoencoders.py", asks("16_000"), asks(LIMIT_MB))
    run.edited("pipeline/train_autoencoder.py", "\n    data = TrainingImages(images)\n", BALLAST)
    done = run.submit(*TRAIN, **REAL_PROCESSES)
    assert "Trying to restart job" in done.text
    jobs = run.cluster.call("squeue", "--states=all", "--sort=i", "--noheader", "--format=%m %T").splitlines()
    assert jobs[-2:] == [f"{LIMIT_MB}M FAILED", f"{2 * LIMIT_MB}M COMPLETED"]
    (path,) = (run.folder / "results" / "records").glob("train_autoencoder-*.json")
    record = json.loads(path.read_text())
    print(record)
    assert record["limit_mb"] == 2 * LIMIT_MB and LIMIT_MB < record["peak_mb"] < 2 * LIMIT_MB
    assert record["state"] == "done" and weights(run)
