"""Stage: fetch one metric network (bright_pipeline/models/metric_networks/weights.yaml) into the networks folder."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.engine.command import LogOption, run_stage
from bright_pipeline.base.progress import log_to


def fetch_network(
    name: Annotated[str, typer.Argument(help="A name in bright_pipeline/models/metric_networks/weights.yaml.")],
    output: Annotated[Path, typer.Option(help="The safetensors file to write.")],
    log: LogOption = None,
) -> None:
    """Fetch a metric network: from a file beside the output, a package, the package index or its server."""
    from bright_pipeline.models.metric_networks.fetching import fetch

    log_to(log)
    fetch(name, output)


if __name__ == "__main__":
    run_stage(fetch_network)
