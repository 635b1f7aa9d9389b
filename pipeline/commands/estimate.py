"""Before spending: the GPU-hours, disk and wall time of a config, per rule and in total."""

import os
from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import write_json
from pipeline.base.command import run_stage
from pipeline.config.diffusion import Denoising
from pipeline.estimation.devices import DEVICES, Device, choose_device
from pipeline.estimation.report import Estimate, facts, text
from pipeline.estimation.schedule import schedule
from pipeline.estimation.tasks import Estimator, as_if_missing
from pipeline.models.metric_networks.manifest import available, fetchable
from pipeline.models.metric_networks.spaces import DISTANCE_NETWORKS
from pipeline.plan.build import NETWORKS
from pipeline.plan.run import Plan, read_config

DEFAULT = Path("config/demo.yaml")
CORES_PER_GPU = 8


class WholePlan(Plan):
    """The plan with all metric networks, also those whose weights are not here yet."""

    def usable(self, network: str, names: list[str], count: int | None) -> bool:
        return True

    def distance_spaces(self, models: list[str]) -> list[str]:
        networks = [network for network in self.config.evaluation.networks if network in DISTANCE_NETWORKS]
        return [space for network in networks for space in self.spaces(network)]


def estimate(
    config: Annotated[Path, typer.Argument(help="The run's config file.")] = DEFAULT,
    device: Annotated[
        str | None, typer.Option(help=f"{', '.join(DEVICES)}, or a name for --tflops; this machine's without it.")
    ] = None,
    tflops: Annotated[
        float | None, typer.Option(min=1e-3, help="The rate that the device reaches, in place of the table's.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="GPUs that work side by side.")] = 1,
    cores: Annotated[
        int | None, typer.Option(min=1, help=f"CPU cores; {CORES_PER_GPU} a GPU, or this machine's, without it.")
    ] = None,
    all_networks: Annotated[
        bool, typer.Option("--all-networks", help="Count metrics too whose network has no weights here.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write it there, with every job.")] = None,
) -> None:
    """Predict what a config costs: what is missing still, and the whole.

    Times come from records of finished jobs where there are any, else from the operations of the models and a
    device's rate; the last column says which.
    """
    chosen = choose_device(device, tflops)
    settings = read_config(config)
    plan = WholePlan(settings) if all_networks else Plan(settings)
    found = make_estimate(plan, str(config), chosen, gpus, cores)
    print(text(found))
    if json is not None:
        write_json(json, facts(found))


def make_estimate(plan: Plan, config: str, device: Device, gpus: int, cores: int | None) -> Estimate:
    """The estimate of a plan's run with so many GPUs and cores; `config` is its name for people."""
    estimator = Estimator(plan, device)
    tasks = estimator.tasks()
    cores = cores or (CORES_PER_GPU * gpus if device.is_gpu else os.cpu_count() or 1)
    return Estimate(
        config=config,
        device=device,
        gpus=gpus,
        cores=cores,
        tasks=tasks,
        images=estimator.costs.images,
        missing=schedule(tasks, gpus, cores),
        whole=schedule(as_if_missing(tasks), gpus, cores),
        remarks=_remarks(plan),
    )


def _remarks(plan: Plan) -> list[str]:
    """What the numbers leave out."""
    lines = []
    used = {job.digest for job in plan.jobs.values() if job.stage == "train_generator"}
    uncounted = [
        f"generators.{name}"
        for name, settings in plan.config.generators.items()
        if not isinstance(settings, Denoising) and plan.generator(name).digest in used
    ]
    if uncounted:
        lines.append(f"the work of {', '.join(uncounted)} is not counted; records of it, once it ran, are")
    absent = [
        network
        for network in plan.config.evaluation.networks
        if not (available(network, NETWORKS) or fetchable(network))
    ]
    if absent:
        counted = "counted all the same" if isinstance(plan, WholePlan) else "not counted; --all-networks counts them"
        lines.append(f"metrics of {', '.join(absent)}, whose weights are not here, are {counted}")
    return lines


if __name__ == "__main__":
    run_stage(estimate)
