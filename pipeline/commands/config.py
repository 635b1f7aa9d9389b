"""Command: check a config, and keep its reference (config/README.md) and schema (config/schema.json)."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import write_text
from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.config.reference import generated
from pipeline.config.root import MODELS, read_config


def config(
    path: Annotated[Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="A config to check.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write config/README.md and config/schema.json.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Check whether these two files are up to date.")] = False,
) -> None:
    """Check a config and print one line: OK, or what is wrong (exit code 2)."""
    if path is None and not write and not check:
        raise InputError("nothing to do: give the path of a config to check, or --write, or --check")
    if path is not None:
        found = read_config(path)
        sections = ("datasets", *(section for section in MODELS if getattr(found, section)))
        counts = ", ".join(f"{len(getattr(found, section))} {section}" for section in sections)
        print(f"{path}: OK, run {found.run}: {counts}")
    if write:
        for file, text in stale().items():
            write_text(file, text)
            print(f"wrote {file}")
    if check:
        if names := [f"config/{file.name}" for file in stale()]:
            raise InputError(f"{' and '.join(names)}: out of date; run `bright config --write`")
        print("config/README.md and config/schema.json are up to date")


def stale() -> dict[Path, str]:
    """The generated files that are out of date, and their expected texts."""
    texts = generated().items()
    return {path: text for path, text in texts if not path.exists() or path.read_text(encoding="utf-8") != text}


if __name__ == "__main__":
    run_stage(config)
