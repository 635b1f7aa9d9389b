"""Checks of images, networks and names before a run's first job starts."""

import os
from collections.abc import Iterable
from pathlib import Path

from bright_pipeline.base.paths import NETWORKS
from bright_pipeline.engine.checks import lost_models, problems
from bright_pipeline.engine.jobs import Job, path_of, planned
from bright_pipeline.engine.run import Needed
from bright_pipeline.models.metric_networks.files import network_state
from bright_pipeline.models.metric_networks.manifest import manifest, missing_line
from bright_pipeline.plan.publish import recorded_config
from bright_pipeline.settings.autoencoder import Autoencoder
from bright_pipeline.stages.common import Jobs


def networks_needed(jobs: Iterable[Job]) -> list[str]:
    paths = [Path(path_of(source)) for job in jobs for sources in job.inputs.values() for source in sources]
    return sorted({path.stem for path in paths if path.parent == NETWORKS})


def networks_used(jobs: Jobs) -> list[str]:
    """The networks that a config names or needs, sorted; also those whose metrics a run skips without them."""
    all_jobs = jobs(planned).values()
    return sorted({*jobs.config.evaluation.networks, *networks_needed(all_jobs), *networks_omitted(all_jobs)})


def obstacles(jobs: Jobs, needed: Needed, folder: Path = NETWORKS) -> list[str]:
    """One line for each problem that would stop a run. Reads the network files that it needs, and no images."""
    states = [network_state(name, folder) for name in networks_needed(needed.jobs)]
    lines = [state.line for state in states if state.status in ("wrong", "missing")]
    return [*lost_models(needed), *problems(needed), *lines]


def networks_omitted(jobs: Iterable[Job]) -> list[str]:
    """The missing networks whose metrics the tables among these jobs lack, in the manifest's order."""
    lines = {line for job in jobs for line in job.stage.omissions(job)}
    return [name for name in manifest() if missing_line(name, NETWORKS) in lines]


def skipped_metrics(jobs: Iterable[Job]) -> list[str]:
    """At most one line: the missing networks whose metrics the tables among these jobs lack."""
    names = networks_omitted(jobs)
    where = "`bright doctor CONFIG` lists these metrics and where to get the networks"
    return [f"the tables lack the metrics of missing networks ({', '.join(names)}): {where}"] if names else []


def replaced_strategies(jobs: Jobs) -> list[str]:
    """One line for each reason why tiny-cuda-nn, which entries ask for, cannot read their tables on any machine."""
    entries: dict[str, list[str]] = {}
    for name, entry in jobs.config.autoencoders.items():
        if isinstance(entry, Autoencoder) and entry.tables.retrieval == "tinycudann":
            from bright_pipeline.models.retrieval import unlike_tinycudann  # loads torch

            if problem := unlike_tinycudann(entry.tables):
                entries.setdefault(problem, []).append(name)
    replacement = "separable or gather in place of tinycudann"
    return [f"autoencoders {', '.join(names)}: {replacement}: {problem}" for problem, names in entries.items()]


def name_clash(jobs: Jobs, config: str) -> str | None:
    """A line if another config, which still exists, has this run's name."""
    other = recorded_config(jobs)
    if other is None or other == config or not os.path.exists(other):  # noqa: PTH110 - False for impossible paths
        return None
    remedy = f"give one of them another name (or remove {jobs.folder}/config.yaml)"
    return f"run: {jobs.folder} is the run of {other}, not of {config}; {remedy}"
