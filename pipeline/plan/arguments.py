"""What a stage's command is told, also where that is too long for a command line: then a file has it.

A shell gets its whole command as one argument, and Linux takes at most 131,072 bytes in one; a table of hundreds of
rows has more. The file lies in the job's folder of results/work, written when a run starts.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from pipeline.base.atomic import write_text
from pipeline.stages.common import Job, path_of

LONGEST = 20_000  # bytes of settings or of named inputs; with both, the options and their quoting still fit


def settings_argument(job: Job) -> str:
    """A job's settings as JSON, or the path of a file with them."""
    text = json.dumps(job.settings, sort_keys=True)
    return text if _fits(text) else str(_settings_file(job))


def named_arguments(job: Job) -> list[str]:
    """`NAME=PATH` for each of a job's named inputs, or `@FILE` with one of them a line."""
    pairs = _pairs(job)
    return pairs if _fits("\n".join(pairs)) else [f"@{_inputs_file(job)}"]


def write_arguments(made: Iterable[Job]) -> None:
    """Write the files that stand for what is too long."""
    for job in made:
        text, pairs = json.dumps(job.settings, sort_keys=True), "\n".join(_pairs(job))
        if not _fits(text):
            write_text(_settings_file(job), text + "\n")
        if not _fits(pairs):
            write_text(_inputs_file(job), pairs + "\n")


def _pairs(job: Job) -> list[str]:
    paths = [path_of(source) for sources in job.inputs.values() for source in sources]
    return [f"{name}={path}" for name, path in zip(job.names, paths, strict=False)]


def _settings_file(job: Job) -> Path:
    return job.work / "settings.json"


def _inputs_file(job: Job) -> Path:
    return job.work / "inputs.txt"


def _fits(text: str) -> bool:
    return len(text.encode()) <= LONGEST
