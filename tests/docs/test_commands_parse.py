"""Each command of the pages is one that its program reads: names, options and values. Nothing is run."""

import importlib
import re
import shlex
from collections.abc import Callable

import pytest
import typer
from bright_pipeline.commands.__main__ import commands
from documented import ROOT, pages_of_commands

PLACEHOLDERS = {"N": "2", "STAGE": "make_table", "NAME": "clip", "~": "/home/me"}
INCOMPLETE = ("dvc artifacts get",)
PARTS = [part.strip() for line in pages_of_commands() for part in line.split("&&")]
OURS = re.compile(r"(\w+=\S+ )*(bright|dvc|snakemake) (?!.*--profile bright)")
LINES = sorted(part for part in PARTS if OURS.match(part) and part not in INCOMPLETE)


def bright(words: list[str]) -> None:
    name, *rest = words
    has_entry = len(rest) > 1 and rest[0].endswith(".yaml") and "." in rest[1]  # a stage by hand
    module = commands()[name.replace("-", "_")]
    functions = vars(importlib.import_module(module))
    app = typer.Typer(add_completion=False)
    app.command()(functions.get(name) or functions[f"{name}_shard"])
    if not has_entry:
        typer.main.get_command(app).make_context(name, rest)


def dvc(words: list[str]) -> None:
    from dvc.cli import parse_args

    parse_args(words)


def snakemake(words: list[str]) -> None:
    from snakemake.cli import parse_args

    parse_args(words)


PROGRAMS: dict[str, Callable[[list[str]], None]] = {"bright": bright, "dvc": dvc, "snakemake": snakemake}


@pytest.mark.parametrize("line", LINES)
def test_a_command_is_one_that_its_program_reads(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line) if not re.match(r"[A-Z_]+=", word)]
    try:
        PROGRAMS[words[0]](words[1:])
    except SystemExit as ended:  # of --help
        assert ended.code in (0, None) and "--help" in words
    except Exception as error:  # of typer's parser
        assert type(error).__name__ == "Exit" and "--help" in words, error
