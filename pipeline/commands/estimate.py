"""Before spending: the hours and GPU-hours of a config, per stage and in total, as far as they are known."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import write_json
from pipeline.base.command import run_stage
from pipeline.estimation.devices import DEVICES, Device, choose_device
from pipeline.estimation.images import image_counts
from pipeline.estimation.report import Estimate, facts, text
from pipeline.estimation.times import job_times, longest_chain
from pipeline.models.metric_networks.manifest import available, fetchable
from pipeline.models.metric_networks.spaces import DISTANCE_NETWORKS
from pipeline.plan.build import NETWORKS
from pipeline.plan.run import Plan, read_config

DEFAULT = Path("config/demo.yaml")


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
    all_networks: Annotated[
        bool, typer.Option("--all-networks", help="Plan metrics too whose network has no weights here.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Also write it there, with every job.")] = None,
) -> None:
    """Say what a config costs: what is missing still, and the whole.

    Times come from records of finished jobs; those of trainings, where there is none, from the operations of
    their steps and a device's rate. The last column says which.
    """
    chosen = choose_device(device, tflops)
    settings = read_config(config)
    found = make_estimate(WholePlan(settings) if all_networks else Plan(settings), str(config), chosen, gpus)
    print(text(found))
    if json is not None:
        write_json(json, facts(found))


def make_estimate(plan: Plan, config: str, device: Device, gpus: int) -> Estimate:
    """The estimate of a plan's run with so many GPUs; `config` is its name for people."""
    times = job_times(plan, device)
    chain_s, chain = longest_chain(plan.jobs.values(), times)
    images = {
        name: image_counts(name, dataset, plan.fingerprint(name), Path(plan.dataset(name).path("manifest.json")))
        for name, dataset in plan.config.datasets.items()
    }
    networks = [] if isinstance(plan, WholePlan) else plan.config.evaluation.networks
    absent: list[str] = [network for network in networks if not (available(network, NETWORKS) or fetchable(network))]
    return Estimate(config, device, gpus, images, times, chain_s, chain, absent)


if __name__ == "__main__":
    run_stage(estimate)
