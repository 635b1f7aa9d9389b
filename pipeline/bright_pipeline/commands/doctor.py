"""Command: check whether a config can run on this machine, and what it will skip."""

import os
import platform
import shutil
from functools import partial
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import psutil
import torch
import typer
from tabulate import tabulate

from bright_pipeline.engine.command import ConfigArgument
from bright_pipeline.base.errors import DeviceError, extra_with
from bright_pipeline.base.parsing import read_json
from bright_pipeline.base.paths import DEMO, NETWORKS, RESULTS
from bright_pipeline.base.process import cores
from bright_pipeline.config.root import read_config
from bright_pipeline.data.fingerprint import image_counts
from bright_pipeline.data.sources import source_at
from bright_pipeline.engine.damage import wrong_sizes
from bright_pipeline.engine.gpus import check_torch, driver_and_cuda, visible_gpus
from bright_pipeline.engine.jobs import planned
from bright_pipeline.engine.run import unfinished
from bright_pipeline.estimation.devices import GIBI
from bright_pipeline.estimation.space import missing_space
from bright_pipeline.models.metric_networks.files import NetworkState, network_state
from bright_pipeline.models.metric_networks.manifest import is_unchecked, manifest
from bright_pipeline.models.retrieval import KERNELS
from bright_pipeline.plan.checks import networks_used, obstacles, replaced_strategies
from bright_pipeline.settings.autoencoder import HashTables
from bright_pipeline.settings.dataset import Source
from bright_pipeline.settings.diffusion import FilesSamples
from bright_pipeline.stages.common import Jobs
from bright_pipeline.stages.datasets import dataset
from bright_pipeline.stages.generation import samples

SHOWN = ("torch", "torchvision", "diffusers", "accelerate", "lpips", "torch-fidelity", "clean-fid", "snakemake", "dvc")
EXECUTOR = "snakemake-executor-plugin-"
STATES = {"here": "here, sha256 is right", "fetchable": "a run fetches it from {}", "wrong": "wrong hash, see below"}
table = partial(tabulate, tablefmt="simple", disable_numparse=True, maxcolwidths=60, break_on_hyphens=False)


def doctor(
    config: ConfigArgument = DEMO,
    networks: Annotated[Path, typer.Option(help="The folder of the metric networks.")] = NETWORKS,
) -> None:
    """Check networks, datasets and the machine for a run: a line for each problem, exit code 1 if it cannot run."""
    jobs = Jobs(read_config(config))
    to_do = unfinished(jobs)
    states = [network_state(name, networks) for name in manifest()]
    asked = networks_used(jobs)
    stopping = [line for job in jobs(planned).values() for line in wrong_sizes(job)]
    stopping += obstacles(jobs, to_do, networks)
    try:
        check_torch(len(visible_gpus()))
    except DeviceError as error:
        stopping.append(str(error))
    if find_spec("snakemake") is None:
        stopping.append(f"snakemake is not installed: pip install {extra_with('snakemake')}")
    print(f"Metric networks in {networks}\n{network_table(states, asked)}\n")
    print(f"Datasets of {config.name}\n{dataset_table(jobs)}\n")
    needed, free = sum(missing_space(jobs).values()), free_disk(RESULTS)
    print(f"Machine\n{table(list(machine_facts(needed, free).items()), ())}\n")
    for state in states:
        if state.status in ("wrong", "missing") and state.line not in stopping:
            skipped = state.name in asked and state.status == "missing"
            print(f"{'skipped' if skipped else 'not needed now'}: {state.line}")
    for line in replaced_strategies(jobs):
        print(line)
    if needed > free:
        print(f"may fill the disk: a run takes up to {needed / GIBI:.1f} GiB, {free / GIBI:.1f} GiB are free")
    for line in stopping:
        print(f"stops a run: {line}")
    if stopping:
        print(f"{config.name} cannot run.")
        raise typer.Exit(1)
    print(f"{config.name} can run: {len(to_do.shards)} jobs to do.")


def network_table(states: list[NetworkState], asked: list[str]) -> str:
    """Each network: its state, the metrics that need it, and whether this config uses it."""
    rows = []
    for network in states:
        metrics, used = ", ".join(manifest()[network.name].metrics), "yes" if network.name in asked else "no"
        unchecked = network.status == "here" and is_unchecked(network.name)
        words = STATES.get(network.status, "missing, see below").format(network.line)
        state = "here, hash not checked" if unchecked else words
        rows.append((network.name, state, metrics, used))
    return table(rows, ("network", "state", "metrics that need it", "used"))


def dataset_table(jobs: Jobs) -> str:
    """Each dataset and each external sample set: its source, its number of raw images, and whether it is prepared."""

    def raw_images(source: Source, where: str) -> str:
        return " + ".join(map(str, image_counts(source, where).values())) or "not here"

    rows = []
    for name, settings in jobs.config.datasets.items():
        job = jobs(dataset, name)
        damaged = any(wrong_sizes(job))
        prepared = "damaged, see below" if damaged else f"yes, {job.folder}" if job.complete else "no"
        if job.complete and not damaged:
            facts = read_json(Path(job.path("manifest.json")), f"datasets.{name}")
            prepared += f" ({facts['train']['count']} + {facts['validation']['count']} images)"
        source = settings.source.model_dump(mode="json")
        raw = raw_images(settings.source, f"datasets.{name}.source")
        rows.append((name, str(source.get("path", source["kind"])), raw, prepared))
    for name, entry in jobs.config.samples.items():
        if isinstance(entry, FilesSamples):
            raw = raw_images(source_at(entry.path), f"samples.{name}")
            rows.append((f"samples {name}", str(entry.path), raw, "yes" if jobs(samples, name).complete else "no"))
    return table(rows, ("dataset", "source", "raw images", "prepared"))


def machine_facts(needed: int, free: int) -> dict[str, str]:
    """The rows of the table `Machine`; needed, free: bytes on the disk."""
    memory = psutil.virtual_memory()
    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    devices = ", ".join(f"{gpu.name} ({gpu.total_memory / GIBI:.0f} GiB)" for gpu in gpus)
    packages = [*distributions()][::-1]  # of several with one name, Python imports the first
    versions = {str(package.metadata["Name"]).replace("_", "-"): package.version for package in packages}
    executors = sorted(name.removeprefix(EXECUTOR) for name in versions if name.startswith(EXECUTOR))
    kernels = {name: kernel.unavailable(HashTables()) for name, kernel in KERNELS.items()}  # for the paper's tables
    return {
        "devices": devices if torch.cuda.is_available() else "no CUDA device: everything runs on the CPU",
        "driver": driver_and_cuda(),
        "CPU cores": f"{cores()} usable of {os.cpu_count()}",
        "memory": f"{memory.available / GIBI:.1f} GiB available of {memory.total / GIBI:.1f}",
        "disk": f"{free / GIBI:.1f} GiB free where {RESULTS} is; a run takes at most {needed / GIBI:.1f} GiB more",
        **{f"retrieval by {name}": f"not used: {why}" if why else "available" for name, why in kernels.items()},
        "executors": ", ".join(executors) or "none besides local (an extra of this package: slurm)",
        "Python": platform.python_version(),
        "libraries": ", ".join(f"{library} {versions.get(library, 'is not installed')}" for library in SHOWN),
    }


def free_disk(folder: Path) -> int:
    """Free bytes on the disk of a folder, which need not exist yet."""
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
