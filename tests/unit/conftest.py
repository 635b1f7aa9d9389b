"""Fixtures of the unit tests: the metric networks that can be fetched here."""

import os
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.evaluation.fetching import fetch
from pipeline.evaluation.networks import fetchable, manifest, network_path

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def networks_folder() -> Path:
    """The networks folder (BRIGHT_NETWORKS, else results/networks), with what the package index has.

    Fetched files stay for the next session. Without a network, tests that need the files are skipped.
    """
    folder = Path(os.environ.get("BRIGHT_NETWORKS", REPOSITORY / "results" / "networks"))
    for name in filter(fetchable, manifest()):
        path = network_path(name, folder)
        if not path.is_file():
            try:
                fetch(name, path)
            except InputError as error:
                pytest.skip(str(error))
    return folder
