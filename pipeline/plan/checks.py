"""What would stop a run's jobs, known before the first of them starts: raw images and network files."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.config.diffusion import FilesSamples
from pipeline.data.kept_fingerprints import missing_checkpoint, missing_list, missing_source
from pipeline.data.sources import source_at
from pipeline.models.metric_networks.states import network_state
from pipeline.plan.build import NETWORKS
from pipeline.plan.jobs import Job
from pipeline.plan.run import Plan


def unfinished(plan: Plan) -> list[Job]:
    """The jobs that a run of everything has to make: upstream of what is there, nothing is needed."""
    found: dict[tuple[str, str], Job] = {}
    waiting = plan.targets
    while waiting:
        job = waiting.pop()
        if not job.complete and (job.stage, job.digest) not in found:
            found[job.stage, job.digest] = job
            waiting += job.upstream
    return list(found.values())


def networks_needed(jobs: Iterable[Job]) -> list[str]:
    """The networks that these jobs read, sorted."""
    paths = [path for job in jobs for files in job.inputs.values() for path in _listed(files)]
    return sorted({Path(path).stem for path in paths if Path(path).parent == NETWORKS})


def _listed(files: str | list[str]) -> list[str]:
    return [files] if isinstance(files, str) else files


def obstacles(plan: Plan, jobs: Iterable[Job], folder: Path = NETWORKS) -> list[str]:
    """What would stop these jobs, a line each. Reads the network files that they need, and no image."""
    jobs = list(jobs)
    found = []
    for name in sorted({job.label for job in jobs if job.stage == "prepare_dataset"}):
        dataset, where = plan.config.datasets[name], f"datasets.{name}.source"
        found += [problem] if (problem := missing_source(dataset.source, where)) else []
        if dataset.split.list is not None and (problem := missing_list(dataset.split.list, where)):
            found.append(problem)
    made = {job.digest for job in jobs if job.stage == "generate"}
    for name, samples in plan.config.samples.items():
        if isinstance(samples, FilesSamples) and plan.samples(name).digest in made:
            found += [problem] if (problem := missing_source(source_at(samples.path), f"samples.{name}")) else []
    imported = {job.digest for job in jobs if job.stage == "import_weights"}
    found += [line for line, digest in _missing_checkpoints(plan) if digest in imported]
    states = [network_state(name, folder) for name in networks_needed(jobs)]
    return found + [state.line for state in states if state.status in ("wrong", "missing")]


def _missing_checkpoints(plan: Plan) -> list[tuple[str, str]]:
    """A line for each entry whose checkpoint is not there, with the digest of its import."""
    config = plan.config
    entries: list[tuple[str, str, Any, Callable[[str], Job]]] = []
    entries += [("autoencoders", name, model, plan.autoencoder) for name, model in config.autoencoders.items()]
    entries += [("diffusions", name, model, plan.diffusion) for name, model in config.diffusions.items()]
    entries += [("generators", name, model, plan.generator) for name, model in config.generators.items()]
    return [
        (line, job(name).digest)
        for section, name, model, job in entries
        if model.weights is not None and (line := missing_checkpoint(model.weights, f"{section}.{name}.weights"))
    ]


def left_out(jobs: Iterable[Job]) -> list[str]:
    """A line for each network that is missing, with the metrics that the tables among these jobs lack for it."""
    return sorted({line for job in jobs if job.stage == "make_table" for line in job.settings["missing"]})
