"""Estimate the cost of a config: hours and GPU-hours by stage and entry, GPU memory, disk. Needs no GPU."""

from typing import Annotated

import typer

from bright_pipeline.engine.command import ConfigArgument
from bright_pipeline.base.paths import DEMO
from bright_pipeline.config.root import read_config
from bright_pipeline.estimation.devices import DEVICES, choose_device
from bright_pipeline.estimation.report import Estimate, text
from bright_pipeline.stages.common import Jobs


def estimate(
    config: ConfigArgument = DEMO,
    device: Annotated[
        str | None, typer.Option(help=f"{', '.join(DEVICES)}, a100-40gb or a name with --tflops; else this machine's.")
    ] = None,
    tflops: Annotated[float | None, typer.Option(min=1e-3, help="The rate of the device, not the table's.")] = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that work side by side, on all nodes together.")] = 1,
    all_networks: Annotated[bool, typer.Option("--all-networks", help="Also plan metrics without weights.")] = False,
) -> None:
    """Estimate the time, memory and disk of a config: of the missing jobs, and of the whole.

    Times come from the records of finished jobs; without a record, from the operations of a job's models, counted on a
    simulated GPU, and the range of rates that published trainings reach, or the rates that `make gpu-check` measured
    here. The last column says which. Exit code 1 if a job does not fit the GPU that --device names.
    """
    chosen = choose_device(device, tflops)
    jobs = Jobs(read_config(config), every_network=all_networks)
    result = Estimate(jobs, str(config), chosen, gpus)
    print(text(result))
    if device is not None and result.too_large:
        raise typer.Exit(1)
