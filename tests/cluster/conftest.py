"""Slurm for the session, and folders in which the workflow runs on it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from daemons import Unavailable
from daemons.slurm import Cluster
from slurm_workflow import ClusterWorkflow
from tiny_workflow import Workflow, copy_checkout, empty_workflow

FAMILIES = Path(__file__).parents[1] / "workflow" / "families.yaml"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A Slurm for the session; tests are skipped, with the reason, where it cannot run."""
    try:
        started = Cluster(tmp_path_factory.mktemp("slurm"))
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield started
    started.stop()


def shorten(config: dict[str, Any]) -> None:
    """The whole workflow as the authors' code trains, in as few jobs as it takes: each costs seconds on a cluster."""
    families = yaml.safe_load(FAMILIES.read_text(encoding="utf-8"))
    main, authors = config["autoencoders"]["main"], families["autoencoders"]["authors"]
    main |= {key: authors[key] for key in ("style", "code_noise")}
    main["encoder"] |= authors["encoder"]
    main["discriminator"] |= authors["discriminator"]
    main["losses"] = {"perceptual": {"network": "none"}, "adversarial": {"kind": "logistic_r1"}}
    drawn = {key: families["diffusions"]["authors"][key] for key in ("code_noise", "splits")}
    config["diffusions"]["main"] |= drawn
    main["execution"] = {"log_every": 1, "previews": 1}
    config |= {"run": "cluster", "autoencoders": {"main": main}, "samples": {"main": config["samples"]["main"]}}
    config["tables"] = {"table5": {"rows": ["main"]}}


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout for which PyTorch can use Slurm's GPUs, which are simulated: its jobs run on the CPU."""
    copy = copy_checkout(tmp_path_factory.mktemp("with GPUs") / "checkout")
    Workflow(copy, copy).edit(
        "pipeline/bright_pipeline/engine/gpus.py", "    usable, reason = 0", "    usable, reason = count"
    )
    return copy


@pytest.fixture
def workflow(cluster: Cluster, tmp_path: Path, networks_folder: Path, checkout: Path) -> Callable[..., ClusterWorkflow]:
    """Makes a folder with the config and the networks, for a checkout."""

    def make(name: str = "run", checkout: Path = checkout) -> ClusterWorkflow:
        folder = empty_workflow(tmp_path / name, networks_folder).folder
        made = ClusterWorkflow(folder, cluster, checkout)
        made.configure(shorten)
        return made

    return make
