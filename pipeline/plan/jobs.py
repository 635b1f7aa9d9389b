"""A job of the plan: its settings, its inputs and the digest that names its folder."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from pipeline.base.code import code_digest
from pipeline.plan.stages import STAGES, Stage

STORE = Path("results/store")
WORK = Path("results/work")
DIGEST_LENGTH = 8

Files = str | list[str]


def range_files(stem: str, count: int, size: int, suffix: str) -> tuple[str, ...]:
    """The files of a set of `count` images in ranges [first, last) of `size`: STEM-FIRST-LAST."""
    ranges = ((first, min(first + size, count)) for first in range(0, count, size))
    return tuple(f"{stem}-{first:06d}-{last:06d}{suffix}" for first, last in ranges)


@dataclass(frozen=True, eq=False)
class Job:
    """A stage applied to settings and to other jobs' results."""

    stage: str
    label: str
    settings: dict[str, Any]
    """What the stage's command is told."""
    numerical: dict[str, Any]
    """The settings that can change a number, and facts about inputs that are not jobs."""
    inputs: dict[str, Files] = field(default_factory=dict)
    """Paths by the names that the rule's command uses."""
    names: tuple[str, ...] = ()
    """Names of the paths of a single list of inputs, for commands that take `name=path`."""
    upstream: tuple["Job", ...] = ()
    """The jobs that make the inputs."""
    files: tuple[str, ...] = ()
    """Outputs besides the stage's own (the ranges of a sample set, of its features)."""
    modules: tuple[str, ...] = ()
    """Modules of model families, whose code can change the numbers too."""
    accepted: tuple[tuple[str, str], ...] = ()
    """(code digest, accepted code digest): results of the second count as results of the first."""

    @property
    def kind(self) -> Stage:
        return STAGES[self.stage]

    @property
    def code_key(self) -> str:
        """The stage and the digest of its code and its models' families' now: what `accepted` goes by."""
        return f"{self.stage} {code_digest((*self.kind.code, *self.modules))}"

    @cached_property
    def code(self) -> str:
        """The digest of the code, or the one that was accepted in its place."""
        return dict(self.accepted).get(self.code_key, self.code_key.partition(" ")[2])

    @cached_property
    def identity(self) -> dict[str, Any]:
        """All that the digest is made from."""
        return {
            "stage": self.stage,
            "settings": self.numerical,
            "code": self.code,
            "inputs": [job.digest for job in self.upstream],
        }

    @cached_property
    def digest(self) -> str:
        text = json.dumps(self.identity, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:DIGEST_LENGTH]

    @property
    def name(self) -> str:
        return f"{self.label}-{self.digest}"

    @property
    def folder(self) -> Path:
        return STORE / self.kind.section / self.name

    @property
    def work(self) -> Path:
        """The folder of saved states; no rule declares it, so Snakemake never deletes it."""
        return WORK / self.name

    @property
    def is_training(self) -> bool:
        """Whether it leaves a history; an imported model has none."""
        return any(file.endswith(".history.csv") for file in self.kind.outputs)

    def path(self, file: str) -> str:
        return str(self.folder / file)

    @property
    def outputs(self) -> list[str]:
        return [self.path(file) for file in (*self.kind.outputs, *self.files)]

    @property
    def complete(self) -> bool:
        return all(Path(output).exists() for output in self.outputs)


def closure(targets: Iterable[Job]) -> list[Job]:
    """These jobs and all that they stand on, each once."""
    found: dict[tuple[str, str], Job] = {}
    waiting = list(targets)
    while waiting:
        job = waiting.pop()
        if (job.stage, job.digest) not in found:
            found[job.stage, job.digest] = job
            waiting += job.upstream
    return list(found.values())
