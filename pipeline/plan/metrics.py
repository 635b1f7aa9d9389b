"""The main numbers of a run in one file with a name that stays: what `dvc metrics show` and `diff` read.

Summaries lie in folders named by digests; results/RUN/metrics.json has their numbers by the names in the
config: reconstruction.NAME.METRIC, generation.NAME.SPACE.COUNT.METRIC (COUNT: the images scored) and
neighbours.NAME.NUMBER. The trainings' histories are published beside it, for `dvc plots`.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.atomic import write_json
from pipeline.plan.jobs import Job

if TYPE_CHECKING:
    from pipeline.plan.run import Plan

NEIGHBOUR_NUMBERS = ("median_generated", "median_validation", "ratio")


def gather_metrics(plan: "Plan") -> dict[str, Any]:
    """The numbers of all finished jobs of the plan, by what they are of."""
    return {
        key: part
        for key, part in (
            ("reconstruction", _reconstruction(plan)),
            ("generation", _generation(plan)),
            ("neighbours", _neighbours(plan)),
        )
        if part
    }


def write_metrics(plan: "Plan", path: Path) -> bool:
    """Write the numbers where they differ from what is there; whether there are any."""
    metrics = gather_metrics(plan)
    if metrics and not (path.exists() and json.loads(path.read_text(encoding="utf-8")) == metrics):
        write_json(path, metrics)
    return bool(metrics)


def histories(plan: "Plan") -> dict[str, str]:
    """The trainings' histories: file name in results/RUN/histories -> path in the store."""
    paths = {}
    for name in plan.config.autoencoders:
        if _planned(plan, job := plan.autoencoder(name)):
            paths[f"autoencoder-{name}.csv"] = job.path("autoencoder.history.csv")
    for name in plan.config.diffusions:
        if _planned(plan, job := plan.diffusion(name)):
            paths[f"diffusion-{name}.csv"] = job.path("diffusion.history.csv")
    return paths


def _planned(plan: "Plan", job: Job) -> bool:
    return (job.stage, job.digest) in plan.jobs


def _summary(plan: "Plan", job: Job) -> dict[str, Any] | None:
    """A job's summary, if the plan has the job and it is done."""
    path = Path(job.path("summary.json"))
    return json.loads(path.read_text(encoding="utf-8")) if _planned(plan, job) and path.exists() else None


def _reconstruction(plan: "Plan") -> dict[str, Any]:
    """Means over the validation images."""
    found = {}
    for name in plan.config.autoencoders:
        if summary := _summary(plan, plan.reconstruction(name)):
            found[name] = {metric: entry["mean"] for metric, entry in summary["metrics"].items()}
    return found


def _generation(plan: "Plan") -> dict[str, Any]:
    """By sample set, feature space and number of images scored, since a distance moves with that number."""
    found: dict[str, Any] = {}
    tables = plan.config.tables_or_default
    for rows in (tables.table5, tables.table6, tables.text_10k):
        for name in rows.rows:
            count = rows.count or plan.config.samples[name].count
            for space in (space for network in plan.config.evaluation.networks for space in plan.spaces(network)):
                if summary := _summary(plan, plan.evaluation(name, space, count)):
                    found.setdefault(name, {}).setdefault(space, {})[str(count)] = summary["metrics"]
    return found


def _neighbours(plan: "Plan") -> dict[str, Any]:
    found = {}
    for name in plan.config.samples:
        if summary := _summary(plan, plan.neighbours(name)):
            found[name] = {key: summary[key] for key in NEIGHBOUR_NUMBERS}
    return found
