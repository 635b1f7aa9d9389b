"""Jobs of the plan as the workflow runs them: whole, or shard by shard, each with a log of its own."""

import re
from dataclasses import dataclass
from pathlib import Path

from pipeline.plan.jobs import Job

LOGS = Path("results/logs")
RANGE = re.compile(r"-(\d+)-(\d+)\.\w+$")


@dataclass(frozen=True)
class Shard:
    """A job of the workflow: one of the plan, or the part [first, last) of its images."""

    job: Job
    log_name: str
    """Of its log and its record, without a suffix."""
    outputs: tuple[str, ...]
    images: int
    """Of its range; 1 for a whole job."""

    @property
    def log(self) -> Path:
        return LOGS / f"{self.log_name}.log"

    @property
    def complete(self) -> bool:
        return all(Path(output).exists() for output in self.outputs)


def ranges(job: Job) -> list[tuple[int, int]]:
    """The ranges of images that a job's shards hold; none where it has no shards."""
    found = (RANGE.search(file) for file in job.files)
    return [(int(match[1]), int(match[2])) for match in found if match]


def shards(job: Job) -> list[Shard]:
    """A job's shards; the job itself where it has none."""
    name, spans = f"{job.stage}-{job.name}", ranges(job)
    if not spans:
        return [Shard(job, "-".join([name, *(Path(file).stem for file in job.files)]), tuple(job.outputs), 1)]
    return [
        Shard(job, f"{name}-{first:06d}-{last:06d}", (job.path(file),), last - first)
        for (first, last), file in zip(spans, job.files, strict=True)
    ]
