"""What the contracts share: a stage, a job of one, and the jobs of a config, each made once."""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeVar

from pipeline.base.code import code_digest
from pipeline.base.errors import InputError
from pipeline.base.parsing import read_json
from pipeline.base.paths import NETWORKS, RESULTS, STORE, WORK
from pipeline.base.seeds import seed_for
from pipeline.config.root import Config
from pipeline.data.fingerprint import Fingerprints
from pipeline.models.metric_networks.manifest import network_path
from pipeline.settings.fields import Section
from pipeline.stages.shelf import Shelf

ACCEPTED = RESULTS / "accepted.json"
DIGEST_LENGTH = 12  # hexadecimal digits
CORES_PER_GPU = 4  # they read, decode and resize what a GPU's process works on; --set-threads asks for others

Span = tuple[int, int]
Arguments = ParamSpec("Arguments")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Stage:
    """One kind of job. Its rule and its command, `pipeline.NAME`, have its name."""

    name: str
    folder: str
    """Under results/store."""
    settings: type[Section]
    """What its command is told."""
    outputs: dict[str, str] = field(default_factory=dict)
    """The files in the job's folder by the command's options. A name with {first} and {last} is one file for each
    range of images; {model} is the kind of model that the job makes."""
    gpu: bool = False
    """Whether it runs on a GPU; of a training, its `execution` says on how many."""
    memory_mb: int = 4000
    """What a job asks for at first; a training, for each of its processes on a node."""
    local: bool = False
    """Takes seconds, or needs the internet: where jobs go to a cluster, it stays on the login node."""
    shown: "Callable[[Jobs], Iterable[Job]]" = lambda jobs: ()
    """Its jobs that a run makes for people to look at, also where no other job reads them."""

    @property
    def is_training(self) -> bool:
        """Whether it writes a history, and saves states in a work folder."""
        return "history" in self.outputs

    @property
    def is_sharded(self) -> bool:
        """Whether each job is done in ranges of images."""
        return any("{first}" in file for file in self.outputs.values())

    @property
    def command(self) -> str:
        """The module of its command."""
        return f"pipeline.{self.name}"


def trained(model: str) -> dict[str, str]:
    """The outputs of a training."""
    return {"weights": f"{model}.safetensors", "history": f"{model}.history.csv", "preview": f"{model}.preview.png"}


class Output(NamedTuple):
    """A file that a job makes."""

    job: "Job"
    file: str

    @property
    def path(self) -> str:
        return str(self.job.folder / self.file)

    @property
    def content(self) -> str:
        """The name of the file, or of the option that all ranges of a set have in common."""
        return next(iter(self.job.stage.outputs)) if self.file in self.job.spans_of_files else self.file


Source = Output | str
"""What a command reads: another job's output, or a file that no job makes (a metric network)."""
Inputs = dict[str, Source | list[Source]]


def path_of(source: Source) -> str:
    return source if isinstance(source, str) else source.path


@dataclass(frozen=True, eq=False)
class Job:
    """A stage applied to settings and to other jobs' results."""

    jobs: "Jobs"
    stage: Stage
    entry: str
    """What the config calls it, such as autoencoders.main."""
    label: str
    """The readable part of its folder's name."""
    settings: dict[str, Any]
    """What the stage's command is told."""
    numerical: dict[str, Any]
    """The settings that can change a number, and facts about inputs that are not jobs."""
    inputs: dict[str, list[Source]]
    """Files by the names that the rule's command uses."""
    names: tuple[str, ...] = ()
    """Names of the files of a single list of inputs, for commands that take `name=path`."""
    model: str = ""
    """The kind of model of an import or a snapshot: {model} in its outputs."""
    ranges: tuple[Span, ...] = ()
    """The ranges [first, last) of images that it is done in."""
    unhashed_inputs: tuple[str, ...] = ()
    """Inputs that can change no number: those that a training is monitored with."""
    families: tuple[str, ...] = ()
    """Modules whose code can change the numbers besides the command's: of model families, of a figure."""

    @property
    def code_key(self) -> str:
        """The digest of the code that can change its numbers."""
        return code_digest(self.code_roots)

    @property
    def code_roots(self) -> tuple[str, ...]:
        """The modules whose code, with all that they import, can change its numbers."""
        return (self.stage.command, *self.families)

    @cached_property
    def upstream(self) -> "tuple[Job, ...]":
        """The jobs that make the inputs, each once."""
        sources = [source for files in self.inputs.values() for source in files]
        found = {source.job.key: source.job for source in sources if isinstance(source, Output)}
        return tuple(found.values())

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the digest is made from."""
        return {
            "stage": self.stage.name,
            "settings": json.loads(json.dumps(self.numerical)),
            "code": self.code_key,
            "inputs": self._input_identities,
        }

    @property
    def _input_identities(self) -> list[str]:
        """`DIGEST FILE as NAME` of each input that a job makes; the ranges of one set are one input."""
        names = iter(self.names)
        identities = [
            f"{source.job.digest} {source.content} as {next(names, option)}"
            for option, sources in self.inputs.items()
            for source in sources
            if isinstance(source, Output) and option not in self.unhashed_inputs
        ]
        return list(dict.fromkeys(identities))

    @cached_property
    def digest(self) -> str:
        """Of the identity, or of the one whose results were accepted in its place (`bright accept`)."""
        own = digest_of(self.identity)
        return self.jobs.accepted.get(f"{self.stage.name} {own}", own)

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from all other jobs."""
        return self.stage.name, self.digest

    @cached_property
    def name(self) -> str:
        """Of its folder: whatever stands before the digest there, or will stand."""
        return self.jobs.shelf.name(self.stage.folder, self.label, self.digest)

    @cached_property
    def folder(self) -> Path:
        return STORE / self.stage.folder / self.name

    @property
    def work(self) -> Path:
        """The folder of saved states; no rule declares it, so Snakemake never deletes it."""
        return WORK / f"{self.stage.name}-{self.digest}"

    @property
    def is_training(self) -> bool:
        """Whether it leaves a history; an imported model has none."""
        return self.stage.is_training

    def __getitem__(self, file: str) -> Output:
        return Output(self, file)

    def path(self, file: str) -> str:
        return str(self.folder / file)

    def output_files(self, span: Span | None = None) -> dict[str, str]:
        """The files in its folder by option; of a sharded job, those of one range of images."""
        first, last = span or (0, 0)
        known = {"model": self.model, "first": f"{first:06d}", "last": f"{last:06d}"}
        return {option: file.format(**known) for option, file in self.stage.outputs.items()}

    @cached_property
    def spans_of_files(self) -> dict[str, Span]:
        """The range of images in each file that has one."""
        return {file: span for span in self.ranges for file in self.output_files(span).values()}

    @cached_property
    def files(self) -> tuple[str, ...]:
        """Its outputs in its folder."""
        return tuple(self.spans_of_files or self.output_files().values())

    @property
    def outputs(self) -> list[str]:
        """Paths of its outputs."""
        return [self.path(file) for file in self.files]

    def has(self, *files: str) -> bool:
        """Whether these outputs are here."""
        return self.jobs.shelf.files(self.folder).issuperset(files)

    @property
    def complete(self) -> bool:
        """Whether all its outputs are here."""
        return self.has(*self.files)


def digest_of(identity: dict[str, Any]) -> str:
    """The digest that names a folder."""
    text = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]


def spans(count: int, size: int) -> tuple[Span, ...]:
    """Ranges [first, last) of `size` that are `count` images together."""
    return tuple((first, min(first + size, count)) for first in range(0, count, size))


def closure(targets: Iterable[Job]) -> list[Job]:
    """These jobs and all that they stand on, each once."""
    found: dict[tuple[str, str], Job] = {}
    waiting = list(targets)
    while waiting:
        job = waiting.pop()
        if job.key not in found:
            found[job.key] = job
            waiting += job.upstream
    return list(found.values())


def read_accepted() -> dict[str, str]:
    """`STAGE DIGEST` of jobs, and the digests of the results that count as theirs (see `bright accept`)."""
    if not ACCEPTED.exists():
        return {}
    found = read_json(ACCEPTED, str(ACCEPTED))
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise InputError(f"{ACCEPTED}: digests by digests are expected; bring it back with git, or remove it")
    return found


def is_complete(job: Job) -> bool:
    """Whether a job's results are here."""
    return job.complete


class Jobs:
    """The jobs of a config: `jobs(function, ...)` calls `function(jobs, ...)` once and keeps what it returned.

    With several training seeds, these are the jobs of the first one, and `other_seeds` has those of the others.
    """

    def __init__(
        self,
        config: Config,
        accepted: dict[str, str] | None = None,
        at_hand: Callable[[Job], bool] = is_complete,
        every_network: bool = False,
        fingerprints: Fingerprints | None = None,
    ):
        self.written = config
        """As the user has it; `config` has the first training seed added to its seeds."""
        self.config = config.with_training_seed(config.training_seeds[0])
        self.accepted = read_accepted() if accepted is None else accepted
        self.at_hand = at_hand
        """Which results need no network to be had."""
        self.every_network = every_network
        """Whether metrics count as possible whose network has no weights here."""
        self.fingerprints = fingerprints or Fingerprints()
        self.shelf = Shelf()
        self.suffix = ""
        """Behind the label of whatever stands on a training: of a further training seed."""
        self._made: dict[Any, Any] = {}

    def __call__(
        self, make: Callable[Concatenate["Jobs", Arguments], Made], *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Made:
        key = (make, args, tuple(kwargs.items()))
        if key not in self._made:
            self._made[key] = make(self, *args, **kwargs)
        return self._made[key]

    @property
    def made(self) -> list[Job]:
        """The jobs that functions returned so far, also where two have one digest."""
        return [made for made in self._made.values() if isinstance(made, Job)]

    @cached_property
    def other_seeds(self) -> "dict[int, Jobs]":
        """The same jobs with each further training seed."""
        return {seed: self._of_seed(seed) for seed in self.written.training_seeds[1:]}

    def _of_seed(self, seed: int) -> "Jobs":
        return self.of(self.written.with_training_seed(seed), f"-seed{seed}")

    def of(self, config: Config, suffix: str = "") -> "Jobs":
        """The jobs of another config, with what is known here; its seeds are those that it says."""
        one_seed = config.model_copy(update={"training_seeds": [0]})
        made = Jobs(one_seed, self.accepted, self.at_hand, self.every_network, self.fingerprints)
        made.shelf, made.suffix = self.shelf, suffix
        return made

    @property
    def every_seed(self) -> "list[tuple[int | None, Jobs]]":
        """The jobs of the first training seed (None: it goes unnamed) and of the further ones."""
        return [(None, self), *self.other_seeds.items()]

    def seed(self, extra: int, *names: str) -> int:
        """The seed of a stage: of the root seed, these names and what the entry adds."""
        return seed_for(self.config.seed, *names, extra)

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
        """A job. Without `numerical`, the settings decide which of them can change a number; `facts` go with those."""
        told = stage.settings.model_validate(settings)
        given = {
            name: [files] if isinstance(files, Output | str) else list(files) for name, files in (inputs or {}).items()
        }
        readable = re.sub(r"[^A-Za-z0-9_.]+", "-", label or entry.partition(".")[2] or entry)
        return Job(
            self,
            stage,
            entry,
            readable + self.suffix,
            told.model_dump(mode="json", exclude_none=False),
            (told.numerical() if numerical is None else numerical) | (facts or {}),
            given,
            **rest,
        )


def network(name: str) -> str:
    """The path of a metric network."""
    return str(network_path(name, NETWORKS))
