"""Stages, their jobs, and all jobs of a run, each created once.

A package that uses the engine defines its stages (`Stage`), functions that make its jobs (`Jobs.job`), and a class
derived from `Jobs` with what these functions need to know.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, Self, TypeVar

from bright_pipeline.base.paths import RESULTS, STORE, WORK
from bright_pipeline.engine.code import code_digest
from bright_pipeline.engine.store import Accepted, Store, read_accepted

DIGEST_LENGTH = 12  # hexadecimal digits

Span = tuple[int, int]  # a range [first, last) of items, such as images
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Use(NamedTuple):
    """A model at work in a job: what its price is counted from."""

    work: str  # a function that the package's estimate can count, such as "train"
    model: Any  # the settings of the model, or its name
    items: float = 1  # how many of them, such as images
    batch: int = 1  # of them at once
    precision: str = "fp32"
    resolution: int = 0  # of images, for a network that reads them as they are


class Reported(NamedTuple):
    """An output that `snakemake --report` shows."""

    option: str
    category: str
    caption: "Callable[[Job], str]"
    label: str = ""  # above the names of the category's files


@dataclass(frozen=True)
class Stage:
    """A kind of job. Its rule, and its command `PACKAGE.NAME`, have the same name."""

    name: str
    folder: str  # the folder in results/store
    settings: type[Any]  # of its command: a pydantic model, whose `numerical` values can change a number
    outputs: dict[str, str] = field(default_factory=dict)
    """The files in a job's folder, by the command's options. A name with {first} and {last} is a file per range of
    images; {model} is the kind of model that the job makes."""
    gpu: bool = False  # whether it runs on a GPU; a training's `execution` sets the number of GPUs
    memory_mb: int = 4000  # the memory that a job requests first; a training requests it for each process on a node
    threads: int = 1  # of a stage that uses no GPU; its command is told more than one, as `--workers`
    alone: bool = False  # whether it takes all cores of a machine, so that no job beside it changes its speed
    launched: bool = True  # whether a launcher starts it, unless it is local: leases GPUs, records the memory
    message: str = ""  # the words before the entry in a job's line of the log; by default the stage's name
    reported: Reported | None = None  # in Snakemake's own report
    local: bool = False  # whether it runs on a cluster's login node, because it takes seconds or needs the internet
    shown: "Callable[[Any], Iterable[Job]]" = lambda jobs: ()  # jobs that every run makes, even if no job reads them
    targets: "Callable[[Any], dict[str, list[Job]]]" = lambda jobs: {}  # the jobs that a target of Snakemake names
    copies: "Callable[[Any], dict[str, Output]]" = lambda jobs: {}  # readable names in results/RUN, with their files
    summary: str = "summary"  # the output with its numbers, if it has that; copied to results/RUN/summaries
    numbers: "Callable[[Job], tuple[str, ...]]" = lambda job: ()  # the place of these numbers in metrics.json; (): none
    # What would stop a job of a run that needs these shards (`Needed`), known before it starts; a line for each.
    problems: "Callable[[Job, Any], Iterable[str]]" = lambda job, needed: ()
    omissions: "Callable[[Job], Iterable[str]]" = lambda job: ()  # lines on what a job leaves out
    outcome: "Callable[[Job], str]" = lambda job: ""  # a line on a finished job, for the end of a run
    page: "Callable[[Job], dict[str, Output]]" = lambda job: {}  # files that the page of the run reads, by name
    kind: Any = None  # the kind of numbers that it measures for a row of a table, and the files with them
    numbers_of_row: "Callable[[Any, str], list[Output]]" = lambda jobs, row: []
    title: "Callable[[Job], str]" = lambda job: ""  # of its numbers on a model card
    size: "Callable[[Job, int], int]" = lambda job, images: 0  # bytes of a range of so many images, at most
    uses: "Callable[[Job, int], Iterable[Use]]" = lambda job, images: ()  # models at work for a range of so many images
    seeded: bool = True  # whether a training seed can change its numbers
    copies_states: bool = False  # whether it reads the work folder of the job upstream
    package: str = __name__.partition(".")[0]  # of the command

    @property
    def is_training(self) -> bool:
        """Whether it writes a history and saves states in a work folder."""
        return "history" in self.outputs

    @property
    def command(self) -> str:
        return f"{self.package}.{self.name}"


class Output(NamedTuple):
    """A file that a job makes."""

    job: "Job"
    file: str

    @property
    def path(self) -> str:
        return self.job.path(self.file)

    @property
    def content(self) -> str:
        """The name of the file, or of the option that all ranges of images share."""
        return next(iter(self.job.stage.outputs)) if self.file in self.job.spans_of_files else self.file


Source = Output | str  # an input: the output of another job, or the path of a file that no job makes (a metric network)
Inputs = dict[str, Source | list[Source]]


def path_of(source: Source) -> str:
    return source if isinstance(source, str) else source.path


@dataclass(frozen=True, eq=False)
class Job:
    """A stage applied to settings and to the results of other jobs."""

    jobs: Any  # all jobs of its run: `Jobs`, or the class that the package derives from it
    stage: Stage
    entry: str  # its config entry, such as autoencoders.main
    label: str  # the readable part of its folder's name
    settings: dict[str, Any]  # the settings that the command receives
    numerical: dict[str, Any]  # the settings that can change a number, and facts about inputs that no job makes
    inputs: dict[str, list[Source]]  # files by the command's options
    names: tuple[str, ...] = ()  # names of the files in a single list of inputs, for commands that take `NAME=PATH`
    model: str = ""  # the kind of model that an import or a snapshot makes: {model} in the outputs
    ranges: tuple[Span, ...] = ()  # the ranges of images of a sharded job
    unhashed_inputs: tuple[str, ...] = ()  # inputs that only monitor a training and cannot change a number
    code: tuple[str, ...] = ()  # modules, besides the command's, whose code can change a number: families, a figure

    @property
    def code_roots(self) -> tuple[str, ...]:
        """The modules whose code, with everything that they import, can change a number."""
        return (self.stage.command, *self.code)

    @property
    def sources(self) -> list[Source]:
        return [source for sources in self.inputs.values() for source in sources]

    @cached_property
    def upstream(self) -> "tuple[Job, ...]":
        """The jobs that make the inputs, each once."""
        return tuple({source.job.key: source.job for source in self.sources if isinstance(source, Output)}.values())

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The values that the digest covers."""
        names = iter(self.names)
        inputs = [
            f"{source.job.digest} {source.content} as {next(names, option)}"
            for option, sources in self.inputs.items()
            for source in sources
            if isinstance(source, Output) and option not in self.unhashed_inputs
        ]
        return {
            "stage": self.stage.name,
            "settings": json.loads(json.dumps(self.numerical)),
            "code": code_digest(self.code_roots),
            "inputs": list(dict.fromkeys(inputs)),  # the ranges of a set are one input
        }

    @cached_property
    def digest(self) -> str:
        """The digest of the identity, or of another identity whose results were accepted."""
        return digest_of(self.identity) if self.accepted is None else self.accepted.digest

    @cached_property
    def accepted(self) -> Accepted | None:
        """The result that was accepted for this job (`bright accept`)."""
        accepted = self.jobs.accepted.get(f"{self.stage.name} {digest_of(self.identity)}")
        return None if accepted is None or accepted.difference(self.stage.name, self.identity) else accepted

    @property
    def key(self) -> tuple[str, str]:
        return self.stage.name, self.digest

    @cached_property
    def name(self) -> str:
        """The name of its folder: an existing folder with this digest, else LABEL-DIGEST."""
        return self.jobs.store.name(self.stage.folder, self.label, self.digest)

    @cached_property
    def folder(self) -> Path:
        return STORE / self.stage.folder / self.name

    @property
    def work(self) -> Path:
        """The folder of saved states; no rule declares it, so that Snakemake never deletes it."""
        return WORK / f"{self.stage.name}-{self.digest}"

    @property
    def state(self) -> Path:
        return self.work / "state.safetensors"

    @property
    def is_training(self) -> bool:
        return self.stage.is_training

    def __getitem__(self, file: str) -> Output:
        return Output(self, file)

    def path(self, file: str) -> str:
        return str(self.folder / file)

    def output_files(self, span: Span | None = None) -> dict[str, str]:
        """The files in its folder by option; for a sharded job, those of one range of images."""
        first, last = span or (0, 0)
        fields = {"model": self.model, "first": f"{first:06d}", "last": f"{last:06d}"}
        return {option: file.format(**fields) for option, file in self.stage.outputs.items()}

    @cached_property
    def spans_of_files(self) -> dict[str, Span]:
        """The range of images in each file that has one."""
        return {file: span for span in self.ranges for file in self.output_files(span).values()}

    @cached_property
    def files(self) -> tuple[str, ...]:
        return tuple(self.spans_of_files or self.output_files().values())

    @property
    def outputs(self) -> list[str]:
        return [self.path(file) for file in self.files]

    def has(self, *files: str) -> bool:
        return self.jobs.store.files(self.folder).issuperset(files)

    @property
    def complete(self) -> bool:
        return self.has(*self.files)


def digest_of(identity: dict[str, Any]) -> str:
    """The digest in a folder's name."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:DIGEST_LENGTH]


def spans(count: int, size: int) -> tuple[Span, ...]:
    """Ranges of `size` images that cover `count` images."""
    return tuple((first, min(first + size, count)) for first in range(0, count, size))


def closure(targets: Iterable[Job]) -> list[Job]:
    """These jobs and everything that they depend on, each once."""
    jobs: dict[tuple[str, str], Job] = {}
    waiting = list(targets)
    while waiting:
        job = waiting.pop()
        if job.key not in jobs:
            jobs[job.key] = job
            waiting += job.upstream
    return list(jobs.values())


class Jobs:
    """The jobs of a run: `jobs(function, ...)` calls `function(jobs, ...)` once and caches its result."""

    def __init__(
        self,
        stages: Mapping[str, Stage],
        run: str,
        accepted: dict[str, Accepted] | None = None,
        store: Store | None = None,
        suffix: str = "",
    ):
        self.stages = stages  # all stages by name, in the order of the data flow
        self.run = run  # its readable results are in results/RUN
        self.accepted = read_accepted() if accepted is None else accepted
        self.store = store or Store()
        self.suffix = suffix  # appended to the labels of its jobs
        self._results: dict[Any, Any] = {}

    def __call__(
        self, make: Callable[Concatenate[Self, Arguments], Result], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Result:
        key = (make, args, tuple(kwargs.items()))
        if key not in self._results:
            self._results[key] = make(self, *args, **kwargs)
        return self._results[key]

    @property
    def created(self) -> list[Job]:
        """The jobs that functions have returned; several may have the same digest."""
        return [result for result in self._results.values() if isinstance(result, Job)]

    @property
    def folder(self) -> Path:
        """results/RUN."""
        return RESULTS / self.run

    def job(
        self,
        stage: Stage,
        entry: str,
        settings: dict[str, Any],
        numerical: dict[str, Any] | None = None,
        inputs: Mapping[str, Source | Sequence[Source]] | None = None,
        label: str | None = None,
        facts: dict[str, Any] | None = None,
        **rest: Any,
    ) -> Job:
        """A job. Its digest covers `numerical`, by default all settings that can change a number, and `facts`."""
        validated = stage.settings.model_validate(settings)
        given = (inputs or {}).items()
        lists = {key: [value] if isinstance(value, Output | str) else list(value) for key, value in given}
        return Job(
            self,
            stage,
            entry,
            re.sub(r"[^A-Za-z0-9_.]+", "-", label or entry.partition(".")[2] or entry) + self.suffix,
            validated.model_dump(mode="json", exclude_none=False),
            (validated.numerical() if numerical is None else numerical) | (facts or {}),
            lists,
            **rest,
        )


def targets(jobs: Jobs) -> list[Job]:
    """The jobs whose results every run makes."""
    return [job for stage in jobs.stages.values() for job in stage.shown(jobs)]


def planned(jobs: Jobs) -> dict[tuple[str, str], Job]:
    """All jobs that the targets need, by (stage, digest)."""
    return {job.key: job for job in closure(jobs(targets))}
