"""Command: check a config, and keep its reference (config/README.md) and schema (config/schema.json)."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.base.atomic import write_text
from pipeline.base.command import run_stage
from pipeline.base.errors import InputError
from pipeline.config.reference import generated
from pipeline.config.root import MODELS, Config, read_config


def config(
    path: Annotated[Path | None, typer.Argument(metavar="[CONFIG.yaml]", help="A config to check.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Write config/README.md and config/schema.json.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Say whether those two are up to date.")] = False,
) -> None:
    """Check a config: one line that says OK, or one that names what is wrong (exit code 2)."""
    if path is None and not write and not check:
        raise InputError("nothing to do: give the path of a config to check, or --write, or --check")
    if path is not None:
        print(f"{path}: OK, {summary(read_config(path))}")
    if write:
        for file, text in stale().items():
            write_text(file, text)
            print(f"wrote {file}")
    if check:
        if found := [f"config/{file.name}" for file in stale()]:
            raise InputError(f"{' and '.join(found)}: not up to date; run `bright config --write`")
        print("config/README.md and config/schema.json are up to date")


def summary(config: Config) -> str:
    """What a config has, in a few words."""
    sections = ("datasets", *(section for section in MODELS if getattr(config, section)))
    parts = [f"{len(getattr(config, section))} {section}" for section in sections]
    return f"run {config.run}: {', '.join(parts)}"


def stale() -> dict[Path, str]:
    """The generated files that are not what the typed config says now, and what they should hold."""
    return {
        path: text
        for path, text in generated().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }


if __name__ == "__main__":
    run_stage(config)
