"""Command: fetch one metric network, or all networks of a config."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import LogOption
from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.base.progress import log_to, logger
from bright_pipeline.config.root import read_config
from bright_pipeline.models.metric_networks.fetching import fetch
from bright_pipeline.models.metric_networks.files import network_state
from bright_pipeline.models.metric_networks.manifest import network_path
from bright_pipeline.plan.checks import networks_used
from bright_pipeline.stages.common import Jobs


def fetch_network(
    name: Annotated[
        str | None, typer.Argument(help="A name in bright_pipeline/models/metric_networks/weights.yaml.")
    ] = None,
    every: Annotated[
        Path | None, typer.Option("--all", metavar="CONFIG", help="Instead of a name: all networks of this config.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help=f"The safetensors file to write; default: NAME.safetensors in {NETWORKS}.")
    ] = None,
    log: LogOption = None,
) -> None:
    """Fetch a metric network: from a file beside the output, a package, the package index or its server."""
    log_to(log)
    if name is not None and every is None:
        fetch(name, output or network_path(name, NETWORKS))
    elif every is not None and name is None and output is None:
        fetch_all(every)
    else:
        raise InputError("fetch_network: give NAME, with or without --output, or --all CONFIG")


def fetch_all(config: Path) -> None:
    """Fetch each network of a config that is not in place; a failed fetch does not stop the others."""
    names, failed = networks_used(Jobs(read_config(config))), []
    for name in names:
        if (state := network_state(name, NETWORKS)).status == "here":
            logger.info("network %s: %s", name, state.line)
            continue
        try:
            fetch(name, network_path(name, NETWORKS))
        except InputError as error:
            failed.append(name)
            logger.error("%s", error)
    if failed:
        raise InputError(f"{config}: {len(failed)} of {len(names)} networks are not fetched: {', '.join(failed)}")
