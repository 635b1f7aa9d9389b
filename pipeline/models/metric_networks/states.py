"""Whether a metric network can be had: here, in a file to make it from, from the package index, or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pipeline.base.errors import InputError
from pipeline.models.metric_networks.files import check_network, check_sha256, file_sha256
from pipeline.models.metric_networks.manifest import (
    PackageFile,
    PypiArchive,
    missing_line,
    network,
    network_path,
    source_file,
)


@dataclass(frozen=True)
class NetworkState:
    """What is known of one network.

    here: its file has the right sha256; fetchable: a run makes it by itself; wrong: a file with another
    sha256 lies in its place, and a run would stop there; missing: its metrics are left out.
    """

    name: str
    status: Literal["here", "fetchable", "wrong", "missing"]
    line: str
    """Where it is or comes from; for the last two the whole story, with what to do."""


def network_state(name: str, folder: Path | str) -> NetworkState:
    """The state of a network in a networks folder. The files that a run would read are hashed; no torch."""
    path, source = network_path(name, folder), network(name).source
    try:
        if path.is_file():
            check_network(name, path)
            return NetworkState(name, "here", str(path))
        if (found := source_file(name, folder)) is not None:
            check_sha256(file_sha256(found), source.sha256, f"network {name}: {found}")
            if isinstance(source, PackageFile) and found.parent != Path(folder):
                return NetworkState(name, "fetchable", f"the installed package {source.package}")
            return NetworkState(name, "fetchable", str(found))
    except InputError as error:
        return NetworkState(name, "wrong", str(error))
    if isinstance(source, PypiArchive):
        return NetworkState(name, "fetchable", f"the package index ({source.requirement})")
    return NetworkState(name, "missing", missing_line(name, folder))
