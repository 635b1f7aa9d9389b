"""What a whole run makes, and all jobs behind that."""

from pipeline.stages import all_stages
from pipeline.stages.common import Job, Jobs, closure


def targets(jobs: Jobs) -> list[Job]:
    """What a whole run makes: sample sets, tables, figures, the page."""
    return [job for stage in all_stages().values() for job in stage.shown(jobs)]


def planned(jobs: Jobs) -> dict[tuple[str, str], Job]:
    """All jobs that the targets need, by (stage, digest)."""
    return {job.key: job for job in closure(jobs(targets))}


def ordered(jobs: Jobs) -> list[Job]:
    """The same in the order that data flows."""
    order = list(all_stages())
    return sorted(jobs(planned).values(), key=lambda job: (order.index(job.stage.name), job.name))
