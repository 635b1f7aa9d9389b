"""A training on the cluster that a test disturbs while it goes on."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from forkserver import REAL_PROCESSES
from safetensors import safe_open
from slurm_workflow import ClusterWorkflow

TRAIN = ("--until", "train_autoencoder")
PATIENCE_S = 600.0


@contextmanager
def going_on(workflow: ClusterWorkflow, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A run on the cluster that goes on within the block; it must end well by itself."""
    output = workflow.folder / "output.txt"
    with output.open("wb") as file:
        command = workflow.command(*arguments)
        environment = workflow.environment() | REAL_PROCESSES
        process = subprocess.Popen(
            command, cwd=workflow.folder, env=environment, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield process
        until = time.monotonic() + PATIENCE_S
        while process.poll() is None:
            assert time.monotonic() < until, output.read_text()[-5000:]
            workflow.cluster.hurry()
            time.sleep(1)
        assert process.returncode == 0, output.read_text()[-5000:]
    finally:
        process.kill()
        process.wait()


def weights(workflow: ClusterWorkflow) -> bytes:
    (folder,) = workflow.folders("autoencoders")
    return (folder / "autoencoder.safetensors").read_bytes()


def saved_step(workflow: ClusterWorkflow) -> int:
    """The last step of the saved state, 0 before the first."""
    states = list((workflow.folder / "results" / "work").glob("*/state.safetensors"))
    if not states:
        return 0
    with safe_open(states[0], framework="pt") as file:  # the history is saved before it, which a kill may come between
        tree = json.loads(file.metadata()["tree"])
    return int(dict(tree["dict"])["step"]["value"])


def resumed_step(workflow: ClusterWorkflow) -> int:
    """The step that the last attempt went on from, 0 before it did; Snakemake deletes the logs of earlier ones."""
    found = re.search(r"resumed at step (\d+)", workflow.log("train_autoencoder"))
    return int(found[1]) if found else 0
