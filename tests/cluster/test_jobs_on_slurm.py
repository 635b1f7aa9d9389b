"""The workflow on a real Slurm; a training that is requeued, terminated, killed or on a dead node ends well."""

import json
import re
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from builds import no_gpu
from daemons import wait_for
from forkserver import REAL_PROCESSES
from safetensors.torch import load
from slurm_workflow import PATIENCE_S, TRAIN, ClusterWorkflow
from tiny_workflow import REPOSITORY

pytestmark = pytest.mark.xdist_group("slurm")

STEPS = 120
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


def test_a_terminated_training_resumes_with_its_code_to_the_weights_of_an_undisturbed_one(workflow, checkout, tmp_path):
    """The requeued job plans again, and trains on with the copy of its code: the checkout was edited meanwhile."""
    alone = workflow("alone")
    disturbed = workflow("disturbed", checkout=Path(shutil.copytree(checkout, tmp_path / "checkout")))
    for each in (alone, disturbed):
        each.configure(long_training)
    alone.run(*TRAIN)
    with disturbed.running(*TRAIN):
        wait_for(lambda: disturbed.saved_step() > STEPS // 10, PATIENCE_S, "no state was saved")
        disturbed.add_number("pipeline/bright_pipeline/training/loop.py")
        disturbed.edit("pipeline/bright_pipeline/train_autoencoder.py", "import typer\n", "import missing\n")
        disturbed.edit("workflow/rules/common.smk", "jobs = make_jobs()\n", "jobs = missing\n")
        (job,) = disturbed.cluster.running()
        # The profile's --signal does this before the time limit.
        disturbed.cluster.call("scancel", "--signal=TERM", job)
        wait_for(
            lambda: "asked to end: state saved" in disturbed.log("train_autoencoder"), PATIENCE_S, "nothing was saved"
        )
        saved = disturbed.saved_step()
    assert "Restarts=1" in disturbed.job(), "not a retry: its job requeued itself"
    assert disturbed.resumed_step() == saved > STEPS // 10
    assert disturbed.weights() == alone.weights()


def test_a_job_whose_gpu_pytorch_cannot_use_fails_once_and_does_nothing(workflow):
    run = workflow(checkout=REPOSITORY)
    done = run.submit(*TRAIN, expect=1)
    assert "Trying to restart job" not in done.text
    jobs = run.cluster.call("squeue", "--states=all", "--sort=i", "--noheader", "--format=%T").split()
    assert jobs[-2:] == ["COMPLETED", "FAILED"], "the dataset was prepared, and the training had one attempt"
    line = f"error: 1 GPU asked for, PyTorch can use 0 {no_gpu()}"
    assert run.log("train_autoencoder").count(line) == 1
    assert not run.files("results/store/autoencoders/*") and not run.files("results/work/train_autoencoder-*")


def test_a_job_killed_for_memory_succeeds_when_it_asks_again_for_more(workflow, checkout, tmp_path):
    run = workflow(checkout=Path(shutil.copytree(checkout, tmp_path / "checkout")))
    asks = "memory_mb={},\n    problems=missing_initial_weights".format
    run.edit("pipeline/bright_pipeline/stages/autoencoders.py", asks("16_000"), asks(LIMIT_MB))
    run.edit("pipeline/bright_pipeline/train_autoencoder.py", "\n    data = TrainingImages(images)\n", BALLAST)
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
    assert "No wall time" not in done.text
    assert (run.folder / "results" / "cluster" / "tables" / "table5.md").exists()
    assert run.submit().nothing_to_do
    devices = re.findall(r"gpus 1, nodes 1, host \S+, devices (\d)$", run.log("*"), re.MULTILINE)
    assert len(set(devices)) > 1


# In two processes, on one node and on two, side by side: a requeue and a failing node.

FEW_STEPS = 40


def training(gpus: int, nodes: int = 1) -> Callable[[dict[str, Any]], None]:
    """On these GPUs and nodes."""

    def change(config: dict[str, Any]) -> None:
        main = config["autoencoders"]["main"]
        main["training"]["images"] = main["training"]["batch"] * FEW_STEPS
        main["execution"] |= {"gpus": gpus, "nodes": nodes, "save_every_s": 0.5}

    return change


def processes(run: ClusterWorkflow) -> dict[str, str]:
    """The node of each process of the last attempt, from its log."""
    return dict(re.findall(r"process (\d) of 2 on node (\w+),", run.log("train_autoencoder")))


def tensors(run: ClusterWorkflow) -> torch.Tensor:
    """A model's weights, concatenated; the file's header differs, since it names GPUs and nodes."""
    named = load(run.weights())
    return torch.cat([named[name].flatten() for name in sorted(named)])


@pytest.fixture
def runs(workflow: Callable[..., ClusterWorkflow]) -> dict[str, ClusterWorkflow]:
    """In two processes: undisturbed, and to be disturbed, on one node and on two. All have the prepared dataset."""
    of = {"undisturbed": training(2), "one node": training(2), "two nodes": training(1, nodes=2)}
    made = {name: workflow(name) for name in of}
    for name, run in made.items():
        run.configure(of[name])
    first, *others = (run.folder / "results" for run in made.values())
    made["undisturbed"].run("--until", "prepare_dataset")
    for folder in others:
        shutil.copytree(first / "store" / "datasets", folder / "store" / "datasets")
    return made


def undisturbed(run: ClusterWorkflow) -> None:
    """Train in two processes on this machine."""
    run.run(*TRAIN)


def requeued(run: ClusterWorkflow) -> None:
    """Train on the node that does not fail; the job is requeued in the middle."""
    with run.running(*TRAIN, "--slurm-exclude-failed-nodes", "n2"):
        wait_for(lambda: run.saved_step() > FEW_STEPS // 10, PATIENCE_S, "no state was saved on one node")
        run.cluster.call("scontrol", "requeue", fact(run, "JobId"))


def crashed(run: ClusterWorkflow) -> None:
    """Train on two nodes, one of which fails in the middle."""
    with run.running(*TRAIN):
        wait_for(lambda: run.saved_step() > FEW_STEPS // 10, PATIENCE_S, "no state was saved on two nodes")
        with run.cluster.crashed("n2"):
            wait_for(lambda: fact(run, "Restarts") == "1", PATIENCE_S, "the job was not requeued")


def fact(run: ClusterWorkflow, name: str) -> str:
    found = re.search(rf"\b{name}=(\S+)", run.job())
    return found[1] if found else ""


def test_a_requeue_and_a_dead_node_change_no_bit_of_trainings_in_two_processes(runs):
    on_one, on_two = runs["one node"], runs["two nodes"]
    with ThreadPoolExecutor(3) as threads:
        ways = {crashed: on_two, requeued: on_one, undisturbed: runs["undisturbed"]}
        for done in [threads.submit(way, run) for way, run in ways.items()]:
            done.result()
    for run in (on_one, on_two):
        print(fact(run, "NodeList"), processes(run), "resumed at step", run.resumed_step())
        assert fact(run, "Restarts") == "1" and FEW_STEPS // 10 < run.resumed_step() < FEW_STEPS
        assert torch.equal(tensors(run), tensors(runs["undisturbed"]))
    assert processes(on_one) == {"0": "n1", "1": "n1"} and sorted(processes(on_two).values()) == ["n1", "n2"]
    for run, nodes, cpus, memory in ((on_one, "1", "8", "32000M"), (on_two, "2", "8", "16000M")):
        asked = fact(run, "NumNodes"), fact(run, "NumCPUs"), fact(run, "MinMemoryNode")
        assert asked == (nodes, cpus, memory), "four cores a GPU; memory of each node"
