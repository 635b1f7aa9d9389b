"""The whole workflow on a real Slurm; a training that is requeued, terminated or killed for memory ends well."""

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from daemons import wait_for
from forkserver import REAL_PROCESSES
from slurm_workflow import PATIENCE_S, TRAIN, ClusterWorkflow
from tiny_workflow import copy_checkout

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]

STEPS = 250
LIMIT_MB = 2400
# Memory that the training holds: more than its limit, less than twice that, allocated slowly enough for Slurm's polling
# every two seconds.
BALLAST = f"""
    import time

    ballast = []
    while len(ballast) < {int(1.1 * LIMIT_MB)} // 100:
        ballast.append(bytearray(b"x") * 100 * 2**20)
        time.sleep(0.25)
    data = TrainingImages(images)
"""


def long_training(config: dict[str, Any]) -> None:
    """Long enough to be interrupted; its state is saved continually."""
    main = config["autoencoders"]["main"]
    main["training"]["images"] = main["training"]["batch"] * STEPS
    main["execution"]["save_every_s"] = 0.5


def test_a_requeued_and_terminated_training_resumes_in_its_job_to_the_weights_of_an_undisturbed_one(workflow):
    alone, disturbed = workflow("alone"), workflow("disturbed")
    for each in (alone, disturbed):
        each.configure(long_training)
    alone.run(*TRAIN)
    cluster = disturbed.cluster

    def resumed() -> bool:
        cluster.hurry()
        return 0 < disturbed.resumed_step() < disturbed.saved_step()

    with disturbed.running(*TRAIN):
        wait_for(lambda: disturbed.saved_step() > STEPS // 10, PATIENCE_S, "no state was saved")
        (job,) = cluster.running()
        cluster.call("scontrol", "requeue", job)
        wait_for(resumed, PATIENCE_S, "it did not resume")
        requeued_at = disturbed.resumed_step()
        assert "Restarts=1" in cluster.call("scontrol", "show", "job", job)
        # The profile's --signal does this before the time limit.
        cluster.call("scancel", "--signal=TERM", job)
        wait_for(
            lambda: "asked to end: state saved" in disturbed.log("train_autoencoder"), PATIENCE_S, "nothing was saved"
        )
        saved = disturbed.saved_step()
    assert "Restarts=2" in disturbed.job(), "not a retry: its job requeued itself"
    print(f"resumed at steps {requeued_at} and {saved} of {STEPS}")
    assert disturbed.resumed_step() == saved > requeued_at > STEPS // 10
    assert disturbed.weights() == alone.weights()


def test_a_job_killed_for_memory_succeeds_when_it_asks_again_for_more(workflow, tmp_path):
    run = workflow(checkout=copy_checkout(tmp_path / "checkout"))
    asks = "memory_mb={}\n)\nIMPORT_WEIGHTS".format
    run.edit("pipeline/stages/autoencoders.py", asks("16_000"), asks(LIMIT_MB))
    run.edit("pipeline/train_autoencoder.py", "\n    data = TrainingImages(images)\n", BALLAST)
    done = run.submit(*TRAIN, **REAL_PROCESSES)
    assert "Trying to restart job" in done.text
    jobs = run.cluster.call("squeue", "--states=all", "--sort=i", "--noheader", "--format=%m %T").splitlines()
    assert jobs[-2:] == [f"{LIMIT_MB}M FAILED", f"{2 * LIMIT_MB}M COMPLETED"]
    record = json.loads(run.text("results/records/train_autoencoder-*.json"))
    print(record)
    assert record["limit_mb"] == 2 * LIMIT_MB and LIMIT_MB < record["peak_mb"] < 2 * LIMIT_MB
    assert record["state"] == "done" and run.weights()


def test_the_whole_workflow_runs_through_the_profile_on_several_gpus(workflow: Callable[..., ClusterWorkflow]) -> None:
    run = workflow()
    done = run.submit()
    assert "has been submitted with SLURM jobid" in done.text
    assert (run.folder / "results" / "cluster" / "tables" / "table5.md").exists()
    assert run.submit().nothing_to_do
    devices = re.findall(r"gpus 1, nodes 1, host \S+, devices (\d)$", run.log("*"), re.MULTILINE)
    assert len(set(devices)) > 1
