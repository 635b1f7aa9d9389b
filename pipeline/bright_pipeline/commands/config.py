"""Command: check a config."""

from pathlib import Path
from typing import Annotated

import typer

from bright_pipeline.base.errors import InputError
from bright_pipeline.config.root import MODELS, read_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.checks import problems
from bright_pipeline.engine.run import unfinished
from bright_pipeline.stages.common import Jobs

SECTIONS = ("datasets", *MODELS)
PLACEHOLDER = " /path/to/"  # begins the paths of examples


def config(path: Annotated[Path, typer.Argument(metavar="CONFIG.yaml", help="The config.")]) -> None:
    """Check a config: one line, OK or what is wrong (exit code 2), and a note for each input that is missing here."""
    settings = read_config(path)
    jobs = Jobs(settings, fingerprints=Fingerprints(trusted=True))  # reads no images
    missing = problems(unfinished(jobs))
    if placeholder := next((line for line in missing if PLACEHOLDER in line), None):
        line = placeholder.partition(";")[0]
        raise InputError(f"{path}: {line}; replace this placeholder by the path of your own files")
    nouns = {section: "sample set" if section == "samples" else section.removesuffix("s") for section in SECTIONS}
    numbers = {noun: len(getattr(settings, section)) for section, noun in nouns.items()}
    counts = [f"{number} {noun}{'s' * (number != 1)}" for noun, number in numbers.items() if number]
    print(f"{path}: OK, run {settings.run}: {', '.join(counts)}")
    for line in missing:
        print(f"note: {line}")
