"""All jobs of a run, their shards with command lines, and the readable names of results in results/RUN.

A shard is a whole job or a range of its images. Its command line is derived from the contract of the stage. Linux
limits a shell's command to 131,072 bytes, too few for a table of hundreds of rows. Long settings and long lists of
inputs are therefore files in the job's folder of results/work, written when a run starts.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.paths import LOGS
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.code import expected_code
from bright_pipeline.engine.jobs import Job, Jobs, Output, Source, Span, path_of, planned

SETTINGS, INPUTS = "settings.json", "inputs.txt"
LONGEST = 20_000  # bytes of settings or of named inputs; with both, the options and their quoting still fit


def ordered(jobs: Jobs) -> list[Job]:
    """The planned jobs in the order of the data flow."""
    order = list(jobs.stages)
    return sorted(jobs(planned).values(), key=lambda job: (order.index(job.stage.name), job.name))


@dataclass(frozen=True)
class Shard:
    """A job of Snakemake: a whole job of the plan, or a range of its images."""

    job: Job
    span: Span | None = None

    @property
    def key(self) -> tuple[str, str, Span | None]:
        return (*self.job.key, self.span)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(self.job.output_files(self.span).values())

    @property
    def outputs(self) -> list[str]:
        return [self.job.path(file) for file in self.files]

    @property
    def complete(self) -> bool:
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
    return [Shard(job, span) for span in job.ranges] or [Shard(job)]


def shard_of(output: Output) -> Shard:
    return Shard(output.job, output.job.spans_of_files.get(output.file))


def arguments(shard: Shard) -> list[str]:
    """The arguments of a stage's command for one shard of a job."""
    job = shard.job
    settings, named, _ = long_arguments(job)
    words = [settings, "--code", expected_code(job.code_roots)]
    files = [(name, job.path(file)) for name, file in job.output_files(shard.span).items()]
    if job.names:
        words += named
    else:
        files = [(name, path_of(source)) for name, sources in shard.inputs.items() for source in sources] + files
    words += [word for name, path in files for word in (f"--{name.replace('_', '-')}", path)]
    if shard.span is not None:
        words += ["--first", str(shard.span[0]), "--last", str(shard.span[1])]
    if shard.starts_at:
        words += ["--starts-at", str(shard.starts_at)]
    if job.is_training:
        words += ["--work", str(job.work)]
    return words


def long_arguments(job: Job) -> tuple[str, list[str], dict[Path, str]]:
    """A job's settings and named inputs as arguments, and the files for those that are too long, with their content.

    The settings are JSON or the path of a file with it, the inputs `NAME=PATH` each or `@FILE`, a file with one a line.
    """
    settings = json.dumps(job.settings, sort_keys=True)
    named = [f"{name}={path_of(source)}" for name, source in zip(job.names, job.sources, strict=False)]
    files: dict[Path, str] = {}
    if len(settings.encode()) > LONGEST:
        files[job.work / SETTINGS] = f"{settings}\n"
        settings = str(job.work / SETTINGS)
    if len((lines := "\n".join(named)).encode()) > LONGEST:
        files[job.work / INPUTS] = f"{lines}\n"
        named = [f"@{job.work / INPUTS}"]
    return settings, named, files


def write_arguments(jobs: Iterable[Job]) -> None:
    """Write the files for arguments that are too long."""
    for path, text in (item for job in jobs for item in long_arguments(job)[2].items()):
        write_text(path, text)


def find_entry(jobs: Jobs, stage: str, entry: str) -> Job:
    """The job of a stage for an entry of the config, such as autoencoders.main; InputError where there is none."""
    # Two entries with one digest are one job of the plan, under the first one's name; `jobs.created` has both.
    of_stage = {job.entry: job for job in (*ordered(jobs), *jobs.created) if job.stage.name == stage}
    names = [entry] if entry in of_stage else [name for name in of_stage if name.startswith(f"{entry} ")]
    if len(names) == 1:
        return of_stage[names[0]]
    listed = ", ".join(names or of_stage) or "none"
    raise InputError(f"{stage} {entry}: {'which of' if names else 'no such job; this config has'} {listed}")


def commands(job: Job) -> list[list[str]]:
    """Module and arguments of a job's command, for each of its shards; InputError where an input is missing."""
    for name, sources in job.inputs.items():
        for path in map(path_of, sources):
            if not Path(path).exists():
                raise InputError(f"{job.stage.name} {job.entry}: {name} {path} is missing: snakemake {path}")
    write_arguments([job])
    return [[job.stage.command, *arguments(shard)] for shard in shards(job)]


def view(jobs: Jobs) -> dict[str, Output]:
    """Path in results/RUN -> file in the store."""
    copies = {name: output for stage in jobs.stages.values() for name, output in stage.copies(jobs).items()}
    summaries = ((job, job.stage.outputs.get(job.stage.summary)) for job in jobs(planned).values())
    copies |= {summary_name(job): job[file] for job, file in summaries if file}
    return {str(jobs.folder / name): output for name, output in copies.items()}


def summary_name(job: Job) -> str:
    """A job's summary in results/RUN."""
    return f"summaries/{job.stage.name}-{job.name}.json"
