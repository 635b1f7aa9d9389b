"""Damaged results as a plan sees them, and results that were moved away because they were damaged.

A plan compares sizes only, a stage the files that it reads, and `bright verify` everything. A damaged file stays in
its place until `bright verify --repair` moves it to results/damaged; the next run makes it again.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pipeline.base.atomic import locked_sums, update_sums
from pipeline.base.checksums import SUMS, problems, read_sums, take_checksum
from pipeline.base.errors import InputError
from pipeline.base.paths import RESULTS
from pipeline.plan.shards import planned
from pipeline.stages.common import Job, Jobs, Output

DAMAGED = RESULTS / "damaged"


def wrong_sizes(job: Job, files: Iterable[str] | None = None) -> Iterator[str]:
    """One line for each of a job's files, or of these, whose size differs from its checksum's."""
    here = job.jobs.store.files(job.folder)
    if SUMS in here:
        yield from problems((job.folder / file for file in files or job.files if file in here), read="size")


def moved_away(jobs: Jobs) -> list[Output]:
    """Outputs of the plan that were moved to results/damaged and have not been made again."""
    if not DAMAGED.is_dir():
        return []
    outputs = [job[file] for job in jobs(planned).values() for file in job.files]
    return [one for one in outputs if damaged_path(Path(one.path)).exists() and not one.job.has(one.file)]


def damaged_path(path: Path) -> Path:
    """Where a damaged file of results is moved."""
    return DAMAGED / path.relative_to(RESULTS)


def add_missing_checksums(job: Job) -> None:
    """Add the job's files that SHA256SUMS lacks, as they are now.

    These come from Snakemake's cache, from a process killed before it wrote the line, or from an older release.
    """
    here = job.jobs.store.files(job.folder).intersection(job.files)
    with suppress(InputError):  # the next plan reports a damaged SHA256SUMS
        if missing := here and here - read_sums(job.folder).keys():
            taken = {name: take_checksum(job.folder / name) for name in missing}
            with locked_sums():
                update_sums(job.folder, taken | read_sums(job.folder))
