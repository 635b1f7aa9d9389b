"""Command: check a config, and keep its reference (config/README.md) and schema (config/schema.json)."""

from pathlib import Path
from typing import Annotated, Any

import typer

from bright_pipeline.engine.command import run_stage
from bright_pipeline.base.errors import InputError
from bright_pipeline.config.reference import generated
from bright_pipeline.config.root import MODELS, read_config
from bright_pipeline.data.fingerprint import Fingerprints
from bright_pipeline.engine.atomic import write_text
from bright_pipeline.engine.checks import problems
from bright_pipeline.engine.run import unfinished
from bright_pipeline.stages.common import Jobs

SECTIONS = ("datasets", *MODELS)
PLACEHOLDER = " /path/to/"  # begins the paths of examples


def config(
    path: Annotated[Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="A config to check.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write config/README.md and config/schema.json.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check whether these two files are up to date.")] = False,
) -> None:
    """Check a config: one line, OK or what is wrong (exit code 2), and a note for each input that is missing here."""
    if path is None and not write and not check:
        raise InputError("nothing to do: give the path of a config to check, or --write, or --check")
    if path is not None:
        found = read_config(path)
        jobs = Jobs(found, fingerprints=Fingerprints(trusted=True))  # reads no images
        missing = problems(unfinished(jobs))
        if placeholder := next((line for line in missing if PLACEHOLDER in line), None):
            line = placeholder.partition(";")[0]
            raise InputError(f"{path}: {line}; replace this placeholder by the path of your own files")
        counts = [_counted(section, entries) for section in SECTIONS if (entries := getattr(found, section))]
        print(f"{path}: OK, run {found.run}: {', '.join(counts)}")
        for line in missing:
            print(f"note: {line}")
    if write:
        for file, text in stale().items():
            write_text(file, text)
            print(f"wrote {file}")
    if check:
        if names := [f"config/{file.name}" for file in stale()]:
            raise InputError(f"{' and '.join(names)}: out of date; run `bright config --write`")
        print("config/README.md and config/schema.json are up to date")


def _counted(section: str, entries: dict[str, Any]) -> str:
    noun = "sample set" if section == "samples" else section.removesuffix("s")
    return f"{len(entries)} {noun}{'s' * (len(entries) != 1)}"


def stale() -> dict[Path, str]:
    """The generated files that are out of date, and their expected texts."""
    texts = generated().items()
    return {path: text for path, text in texts if not path.exists() or path.read_text(encoding="utf-8") != text}


if __name__ == "__main__":
    run_stage(config)
