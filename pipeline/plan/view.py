"""results/RUN: the readable name of each result."""

from pathlib import Path

from pipeline.base.paths import RESULTS
from pipeline.plan.shards import planned
from pipeline.stages.autoencoders import DUMP_CODES, MEASURE_CODES, RECONSTRUCT
from pipeline.stages.common import Job, Jobs, Output
from pipeline.stages.evaluation import NEAREST_NEIGHBOURS, SCORE_FEATURES
from pipeline.stages.figures import figures
from pipeline.stages.page import page, trainings
from pipeline.stages.tables import tables

SUMMARIES = {
    stage.name: "summary.json" for stage in (RECONSTRUCT, MEASURE_CODES, SCORE_FEATURES, NEAREST_NEIGHBOURS)
} | {DUMP_CODES.name: "statistics.json"}


def folder(jobs: Jobs) -> Path:
    """results/RUN."""
    return RESULTS / jobs.config.run


def view(jobs: Jobs) -> dict[str, Output]:
    """Path in results/RUN -> file in the store."""
    found = {"report.html": jobs(page)["report.html"]}
    for name, job in jobs(tables).items():
        found |= {f"tables/{name}.{suffix}": job[f"table.{suffix}"] for suffix in ("csv", "md", "tex")}
    for name, job in jobs(figures).items():
        found |= {f"figures/{name}{Path(file).suffix}": job[file] for file in job.files}
    for job in jobs(planned).values():
        if job.stage.name in SUMMARIES:
            found[summary_place(job)] = job[SUMMARIES[job.stage.name]]
    found |= {f"histories/{kind}-{name}.csv": job[f"{kind}.history.csv"] for kind, name, job in planned_trainings(jobs)}
    return {str(folder(jobs) / place): output for place, output in found.items()}


def summary_place(job: Job) -> str:
    """A job's summary in results/RUN."""
    return f"summaries/{job.stage.name}-{job.name}.json"


def planned_trainings(jobs: Jobs) -> list[tuple[str, str, Job]]:
    """The trainings behind this run's results: kind of model, name, job."""
    return [training for training in jobs(trainings) if training[2].key in jobs(planned)]
