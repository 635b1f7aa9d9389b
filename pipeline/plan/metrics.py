"""The main numbers of a run in one file with a name that stays: what `dvc metrics show` and `diff` read.

Summaries lie in folders named by digests; results/RUN/metrics.json has their numbers by the names in the
config: reconstruction.NAME.METRIC, reconstruction_distance.NAME.SPACE.METRIC, generation.NAME.SPACE.COUNT.METRIC
(COUNT: the images scored) and neighbours.NAME.NUMBER. These are of the first training seed; those of a further one
lie under seeds.SEED. The trainings' histories are published beside it, for `dvc plots`.
"""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.base.atomic import write_json
from pipeline.plan.evaluations import EvaluationJobs
from pipeline.plan.jobs import Job

if TYPE_CHECKING:
    from pipeline.plan.run import Plan

NEIGHBOUR_NUMBERS = ("median_generated", "median_validation", "ratio")


def gather_metrics(plan: "Plan") -> dict[str, Any]:
    """The numbers of all finished jobs of the plan, by what they are of."""
    numbers = _numbers(plan, plan)
    seeds = {str(seed): found for seed, jobs in plan.replicas.items() if (found := _numbers(plan, jobs))}
    return numbers | ({"seeds": seeds} if seeds else {})


def _numbers(plan: "Plan", jobs: EvaluationJobs) -> dict[str, Any]:
    """Those of one training seed."""
    parts = {
        "reconstruction": _reconstruction(plan, jobs),
        "reconstruction_distance": _reconstruction_distance(plan, jobs),
        "generation": _generation(plan, jobs),
        "neighbours": _neighbours(plan, jobs),
    }
    return {key: part for key, part in parts.items() if part}


def write_metrics(plan: "Plan", path: Path) -> bool:
    """Write the numbers where they differ from what is there; whether there are any."""
    metrics = gather_metrics(plan)
    if metrics and not (path.exists() and json.loads(path.read_text(encoding="utf-8")) == metrics):
        write_json(path, metrics)
    return bool(metrics)


def trainings(plan: "Plan") -> Iterator[tuple[str, str, Job]]:
    """The run's trainings: kind of model, its name (a further training seed's ends with it), its job."""
    for seed, jobs in plan.every_seed:
        of_seed = "" if seed is None else f"-seed{seed}"
        found = [("autoencoder", name, jobs.autoencoder(name)) for name in jobs.config.autoencoders]
        found += [("diffusion", name, jobs.diffusion(name)) for name in jobs.config.diffusions]
        found += [("generator", name, jobs.generator(name)) for name in jobs.config.generators]
        yield from (
            (kind, f"{name}{of_seed}", job) for kind, name, job in found if job.is_training and _planned(plan, job)
        )


def histories(plan: "Plan") -> dict[str, str]:
    """The trainings' histories: file name in results/RUN/histories -> path in the store."""
    return {f"{kind}-{name}.csv": job.path(f"{kind}.history.csv") for kind, name, job in trainings(plan)}


def _planned(plan: "Plan", job: Job) -> bool:
    return (job.stage, job.digest) in plan.jobs


def _summary(plan: "Plan", job: Job) -> dict[str, Any] | None:
    """A job's summary, if the plan has the job and it is done."""
    path = Path(job.path("summary.json"))
    return json.loads(path.read_text(encoding="utf-8")) if _planned(plan, job) and path.exists() else None


def _reconstruction(plan: "Plan", jobs: EvaluationJobs) -> dict[str, Any]:
    """Means over the validation images."""
    found = {}
    for name in jobs.config.autoencoders:
        if summary := _summary(plan, jobs.reconstruction(name)):
            found[name] = {metric: entry["mean"] for metric, entry in summary["metrics"].items()}
    return found


def _reconstruction_distance(plan: "Plan", jobs: EvaluationJobs) -> dict[str, Any]:
    """By autoencoder and feature space."""
    found: dict[str, Any] = {}
    names = jobs.config.tables_or_default.table2
    for name, space in product(names, jobs.distance_spaces(names)):
        if summary := _summary(plan, jobs.reconstruction_distance(name, space)):
            found.setdefault(name, {})[space] = summary["metrics"]
    return found


def _generation(plan: "Plan", jobs: EvaluationJobs) -> dict[str, Any]:
    """By sample set, feature space and number of images scored, since a distance moves with that number."""
    found: dict[str, Any] = {}
    tables = jobs.config.tables_or_default
    spaces = [space for network in jobs.config.evaluation.networks for space in jobs.spaces(network)]
    for rows in (tables.table5, tables.table6, tables.text_10k, tables.noise_generation):
        for name, space in product(rows.rows, spaces):
            count = rows.count or jobs.config.samples[name].count
            if summary := _summary(plan, jobs.evaluation(name, space, count)):
                found.setdefault(name, {}).setdefault(space, {})[str(count)] = summary["metrics"]
    return found


def _neighbours(plan: "Plan", jobs: EvaluationJobs) -> dict[str, Any]:
    found = {}
    for name in jobs.config.samples:
        if summary := _summary(plan, jobs.neighbours(name)):
            found[name] = {key: summary[key] for key in NEIGHBOUR_NUMBERS}
    return found
