"""Results that are not what was put in place, as a plan sees them, and those that were moved aside for it.

A plan looks at sizes alone; a stage reads what it is given, `bright verify` everything. What is damaged stays in its
place until `bright verify --repair` moves it aside, into results/damaged: the next run makes it again.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.base.atomic import write_text
from pipeline.base.checksums import checksum_path, size_problem, take_checksum
from pipeline.base.paths import RESULTS
from pipeline.plan.shards import planned
from pipeline.stages.common import Job, Jobs, Output

DAMAGED = RESULTS / "damaged"


def wrong_sizes(job: Job, files: Iterable[str] | None = None) -> Iterator[str]:
    """A line for each file of a job, or each of these, that has another size than when it was put in place."""
    here = job.jobs.shelf.files(job.folder)
    for file in job.files if files is None else files:
        path = Path(job.path(file))
        if file in here and checksum_path(path).name in here and (line := size_problem(path)) is not None:
            yield line


def set_aside(jobs: Jobs) -> list[Output]:
    """Files of the plan that were moved aside and are not here again."""
    if not DAMAGED.is_dir():
        return []
    return [
        job[file]
        for job in jobs(planned).values()
        for file in job.files
        if aside(Path(job.path(file))).exists() and not job.has(file)
    ]


def aside(path: Path) -> Path:
    """Where a damaged file of results is moved."""
    return DAMAGED / path.relative_to(RESULTS)


def keep_checksums(job: Job) -> None:
    """Take those of a job's files that have none: of results from Snakemake's cache, or made before there were any."""
    here = job.jobs.shelf.files(job.folder)
    for file in job.files:
        path = Path(job.path(file))
        if file in here and checksum_path(path).name not in here:
            write_text(checksum_path(path), take_checksum(path).text(path.name))
