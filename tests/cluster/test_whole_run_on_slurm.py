"""The whole workflow, each stage a Slurm job."""

import re
from collections.abc import Callable

import pytest
from slurm_workflow import ClusterWorkflow

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("slurm")]


def test_the_whole_workflow_runs_through_the_profile_on_several_gpus(workflow: Callable[..., ClusterWorkflow]) -> None:
    run = workflow()
    done = run.submit()
    assert "has been submitted with SLURM jobid" in done.text
    assert (run.folder / "results" / "cluster" / "tables" / "table5.md").exists()
    assert run.submit().nothing_to_do
    devices = re.findall(r"gpus 1, nodes 1, host \S+, devices (\d)$", run.log("*"), re.MULTILINE)
    assert len(set(devices)) > 1
