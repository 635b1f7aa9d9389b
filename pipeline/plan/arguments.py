"""What a stage's command is told, also where that is too long for a command line: then a file has it.

A shell gets its whole command as one argument, and Linux takes at most 131,072 bytes in one; a table of hundreds of
rows has more. The file lies in the job's folder of results/work.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from pipeline.base.atomic import write_text
from pipeline.plan.jobs import Job

LONGEST = 20_000  # bytes of settings or of named inputs; with both, the options and their quoting still fit


def settings_argument(job: Job, write: bool = True) -> str:
    """A job's settings as JSON, or the path of a file with them, which is written unless told otherwise."""
    text = json.dumps(job.settings, sort_keys=True)
    return text if _fits(text) else _in_file(text, job.work / "settings.json", write)


def named_arguments(job: Job, paths: Sequence[str], write: bool = True) -> list[str]:
    """`NAME=PATH` for each of a job's named inputs, or `@FILE` with one of them a line."""
    pairs = [f"{name}={path}" for name, path in zip(job.names, paths, strict=False)]
    text = "\n".join(pairs)
    return pairs if _fits(text) else [f"@{_in_file(text, job.work / 'inputs.txt', write)}"]


def _fits(text: str) -> bool:
    return len(text.encode()) <= LONGEST


def _in_file(text: str, file: Path, write: bool) -> str:
    if write:
        write_text(file, text + "\n")
    return str(file)
