"""All jobs of a run, and the shards in which the workflow runs them: a whole job or a range of its images."""

from dataclasses import dataclass
from pathlib import Path

from pipeline.base.paths import LOGS
from pipeline.stages import all_stages
from pipeline.stages.common import Job, Jobs, Output, Source, closure, path_of


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


@dataclass(frozen=True)
class Shard:
    """A job of the workflow: one of the plan, or its images [first, last)."""

    job: Job
    span: tuple[int, int] | None = None

    @property
    def key(self) -> tuple[str, str, tuple[int, int] | None]:
        """What tells it from all other shards."""
        return (*self.job.key, self.span)

    @property
    def files(self) -> tuple[str, ...]:
        """Its outputs in the job's folder."""
        return tuple(self.job.output_files(self.span).values())

    @property
    def outputs(self) -> list[str]:
        """Paths of its outputs."""
        return [self.job.path(file) for file in self.files]

    @property
    def complete(self) -> bool:
        """Whether its outputs are here."""
        return self.job.has(*self.files)

    @property
    def images(self) -> int:
        """Of its range; 1 for a whole job."""
        return 1 if self.span is None else self.span[1] - self.span[0]

    @property
    def log_name(self) -> str:
        """Of its log and its record, without a suffix."""
        name = "-".join(filter(None, (self.job.stage.name, self.job.name, self.job.model)))
        return name if self.span is None else f"{name}-{self.span[0]:06d}-{self.span[1]:06d}"

    @property
    def log(self) -> Path:
        return LOGS / f"{self.log_name}.log"

    @property
    def inputs(self) -> dict[str, list[Source]]:
        """What its command reads: of files that hold ranges of images, those that hold some of its own."""
        return {name: self._near(sources) for name, sources in self.job.inputs.items()}

    def _near(self, sources: list[Source]) -> list[Source]:
        if self.span is None:
            return sources
        first, last = self.span
        return [one for one in sources if (held := held_by(one)) is None or (held[0] < last and first < held[1])]

    @property
    def starts_at(self) -> int:
        """The index of the first image in the files that it reads."""
        held = [span for sources in self.inputs.values() for one in sources if (span := held_by(one)) is not None]
        return held[0][0] if held and self.span is not None else 0

    def paths(self, name: str) -> list[str]:
        """The paths of one input."""
        return [path_of(source) for source in self.inputs[name]]


def held_by(source: Source) -> tuple[int, int] | None:
    """The range of images that a file holds; None for a file that is no range of a set."""
    return None if isinstance(source, str) else source.job.spans_of_files.get(source.file)


def shards(job: Job) -> list[Shard]:
    """A job's shards; the job itself where it is done at once."""
    return [Shard(job, span) for span in job.ranges] or [Shard(job)]


def shard_of(output: Output) -> Shard:
    """The shard of a job that makes this file."""
    return Shard(output.job, output.job.spans_of_files.get(output.file))
