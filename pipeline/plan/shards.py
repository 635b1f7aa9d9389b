"""All jobs of a run, the shards in which the workflow runs them, and the readable names of results in results/RUN.

A shard is a whole job or a range of its images.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from pipeline.base.paths import LOGS, RESULTS
from pipeline.stages import all_stages
from pipeline.stages.autoencoders import DUMP_CODES, MEASURE_CODES, RECONSTRUCT
from pipeline.stages.common import Job, Jobs, Output, Source, Span, closure
from pipeline.stages.evaluation import NEAREST_NEIGHBOURS, SCORE_FEATURES
from pipeline.stages.figures import figures
from pipeline.stages.page import page, trainings
from pipeline.stages.tables import tables

SUMMARIES = {
    stage.name: "summary.json" for stage in (RECONSTRUCT, MEASURE_CODES, SCORE_FEATURES, NEAREST_NEIGHBOURS)
} | {DUMP_CODES.name: "statistics.json"}


def targets(jobs: Jobs) -> list[Job]:
    """The jobs whose results every run makes: sample sets, tables, figures, the page."""
    return [job for stage in all_stages().values() for job in stage.shown(jobs)]


def planned(jobs: Jobs) -> dict[tuple[str, str], Job]:
    """All jobs that the targets need, by (stage, digest)."""
    return {job.key: job for job in closure(jobs(targets))}


def ordered(jobs: Jobs) -> list[Job]:
    """The planned jobs in the order of the data flow."""
    order = list(all_stages())
    return sorted(jobs(planned).values(), key=lambda job: (order.index(job.stage.name), job.name))


@dataclass(frozen=True)
class Shard:
    """A job of Snakemake: a whole job of the plan, or a range of its images."""

    job: Job
    span: Span | None = None

    @property
    def key(self) -> tuple[str, str, Span | None]:
        """Identifies the shard among all shards."""
        return (*self.job.key, self.span)

    @property
    def files(self) -> tuple[str, ...]:
        """The outputs in the job's folder."""
        return tuple(self.job.output_files(self.span).values())

    @property
    def outputs(self) -> list[str]:
        """The paths of the outputs."""
        return [self.job.path(file) for file in self.files]

    @property
    def complete(self) -> bool:
        """Whether the outputs exist."""
        return self.job.has(*self.files)

    @property
    def images(self) -> int:
        """The number of images in the range; 1 for a whole job."""
        return 1 if self.span is None else self.span[1] - self.span[0]

    @property
    def log_name(self) -> str:
        """The name of the log and the record, without a suffix."""
        name = "-".join(filter(None, (self.job.stage.name, self.job.name, self.job.model)))
        return name if self.span is None else f"{name}-{self.span[0]:06d}-{self.span[1]:06d}"

    @property
    def log(self) -> Path:
        return LOGS / f"{self.log_name}.log"

    @property
    def inputs(self) -> dict[str, list[Source]]:
        """The inputs by option; of files with ranges of images, those that overlap with its own range."""
        first, last = self.span or (0, math.inf)

        def overlaps(source: Source) -> bool:
            span = span_of(source)
            return span is None or (span[0] < last and first < span[1])

        return {name: list(filter(overlaps, sources)) for name, sources in self.job.inputs.items()}

    @property
    def sources(self) -> list[Source]:
        """All inputs."""
        return [source for sources in self.inputs.values() for source in sources]

    @property
    def starts_at(self) -> int:
        """The index of the first image in its input files."""
        spans = [span for source in self.sources if (span := span_of(source)) is not None]
        return spans[0][0] if spans and self.span is not None else 0


def span_of(source: Source) -> Span | None:
    """The range of images in a file; None for a file that is not a range of a set."""
    return None if isinstance(source, str) else source.job.spans_of_files.get(source.file)


def shards(job: Job) -> list[Shard]:
    """The shards of a job; one for a job without ranges."""
    return [Shard(job, span) for span in job.ranges] or [Shard(job)]


def shard_of(output: Output) -> Shard:
    """The shard that makes this file."""
    return Shard(output.job, output.job.spans_of_files.get(output.file))


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
