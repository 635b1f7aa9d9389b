"""Slurm for the session, and folders in which the workflow runs on it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from daemons import Unavailable
from slurm import Cluster
from slurm_workflow import REPOSITORY, TINY, ClusterWorkflow
from tiny_workflow import empty_workflow


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm for the session; tests are skipped, with the reason, where it cannot run."""
    try:
        started = Cluster(tmp_path_factory.mktemp("slurm"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield started
    started.stop()


@pytest.fixture
def workflow(cluster: Cluster, tmp_path: Path, networks_folder: Path) -> Callable[..., ClusterWorkflow]:
    """Makes a folder with the config and the networks, for a checkout."""

    def make(name: str = "run", checkout: Path = REPOSITORY) -> ClusterWorkflow:
        folder = empty_workflow(tmp_path / name, networks_folder).folder
        shutil.copy(TINY, folder / "config.yaml")
        return ClusterWorkflow(folder, cluster, checkout)

    return make
