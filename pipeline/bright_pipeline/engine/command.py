"""Shared by the commands of all stages: settings, log, checks of files, one line for bad input, exit codes."""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from bright_pipeline.base.errors import InputError, error_line
from bright_pipeline.base.parsing import parse_json, parse_settings, shortened
from bright_pipeline.base.process import collect_garbage_rarely, keep_freed_memory, kernel_choice, on_end_request
from bright_pipeline.base.progress import activity, log_to, logger
from bright_pipeline.base.yaml_files import parse_yaml
from bright_pipeline.engine.checksums import check
from bright_pipeline.engine.code import OWN, ROOT, split_arguments, start_code_check
from bright_pipeline.engine.heartbeat import beating
from bright_pipeline.engine.records import is_out_of_memory

# Only in a process that runs a module of this package (`python -m PACKAGE.STAGE`): its further imports load numpy.
if getattr(sys.modules["__main__"].__spec__, "name", "").startswith(f"{OWN}."):
    os.environ.update(kernel_choice())

TERMINATED = 143  # 128 + SIGTERM, the exit code that schedulers expect of a job that they ask to end
KILLED = 137  # 128 + SIGKILL, the kernel's signal when memory is exhausted

CODE_OPTION = "--code ROOT+ROOT=DIGEST: end if these modules' code has another digest; set by the workflow."

SettingsArgument = Annotated[str, typer.Argument(help="The settings: JSON, or the path of a JSON or YAML file.")]
ConfigArgument = Annotated[Path, typer.Argument(help="The run's config file.")]
LogOption = Annotated[Path | None, typer.Option(help="The log file; without it, the terminal.")]

InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=PATH]...", help="Inputs: NAME=PATH or NAME:LABEL=PATH; @FILE: a file of these."),
]

Settings = TypeVar("Settings", bound=BaseModel)


def stage(work: Callable[..., None]) -> Callable[..., None]:
    """Make the command of a stage from a function that takes its settings, `job`, and its files.

    The command takes the settings as text and has the option --log; its help is the docstring of the module. Each
    `@FILE` among its arguments is replaced by the lines of that file. Every file that is given is compared with its
    checksum, if it has one: inputs are checked nowhere else, and outputs may be replaced.

    As the main module (`python -m PACKAGE.STAGE`), the command runs here: its function is the module's last statement.
    """
    job, *options = inspect.signature(work).parameters.values()

    @wraps(work)
    def command(settings: str, *values: Any, log: Path | None = None, **named: Any) -> None:
        log_to(log)
        values, named = tuple(map(_expanded, values)), {name: _expanded(value) for name, value in named.items()}
        given = _paths([settings, *values, *named.values()])
        check(*(path for path in given if os.path.isdir(path.parent)))  # noqa: PTH112 - False for impossible paths
        work(read_settings(job.annotation, settings), *values, **named)

    text = job.replace(name="settings", annotation=SettingsArgument)
    log = inspect.Parameter("log", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LogOption)
    command.__signature__ = inspect.Signature([text, *options, log])  # type: ignore[attr-defined]
    command.__doc__ = work.__globals__["__doc__"]  # also for a module that runs as `bright STAGE`
    if work.__module__ == "__main__":
        run_stage(command)
    return command


def _paths(value: Any) -> Iterator[Path]:
    """The files that an argument, or a list of arguments, names: paths, and strings such as `NAME=PATH`."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, list):
        for argument in value:
            yield from _paths(argument)
    elif isinstance(value, str) and not value.lstrip().startswith("{"):
        yield Path(value.partition("=")[2] or value)


def _expanded(value: Any) -> Any:
    """A list of arguments with the lines of its `@FILE`s; other values unchanged."""
    if not isinstance(value, list):
        return value
    expanded: list[Any] = []
    for argument in value:
        if not isinstance(argument, str) or not argument.startswith("@") or "=" in argument:
            expanded.append(argument)
            continue
        try:
            expanded += Path(argument[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise InputError(f"{argument}: no readable file of arguments ({error.strerror})") from None
        check(Path(argument[1:]))
    return expanded


def run_stage(command: Callable[..., object], beats: bool = True) -> None:
    """Run a stage's command line.

    An error that the user can fix, and edited code (`--code`), end it with one line and exit code 2; SIGTERM, Ctrl-C
    and SIGHUP with 143; a failed allocation with 137, as if the kernel had killed it. `beats`: whether this process
    updates its job's record (`bright_pipeline.engine.heartbeat`); a launcher leaves that to its stage.
    """
    # Unwind, so that temporary files are removed; training loops install a handler that saves first.
    on_end_request(lambda number, frame: sys.exit(TERMINATED))
    keep_freed_memory()
    collect_garbage_rarely()
    # The user's model families, behind all that is installed; before them this package, for the workers of a stage.
    sys.path += [str(ROOT), str(Path.cwd())]
    code, arguments = split_arguments(sys.argv[1:])
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    app.command(epilog=CODE_OPTION if "settings" in inspect.signature(command).parameters else None)(command)
    try:
        with beating() if beats else nullcontext():
            if code is not None:
                if "--log" in arguments[:-1]:
                    log_to(Path(arguments[arguments.index("--log") + 1]))
                start_code_check(code)
            app(arguments)
    except Exception as error:
        if (problem := error_line(error)) is not None:
            line = f"error: {' '.join(problem.split())}"
            if activity.log is not None:  # else the log is the terminal
                logger.info(line)
            print(line, file=sys.stderr)
            sys.exit(2)
        if not is_out_of_memory(error):
            raise
        logger.info("out of memory: %s", error)
        traceback.print_exc()
        sys.exit(KILLED)


def read_settings(kind: type[Settings], argument: str) -> Settings:
    """The settings of a stage from inline JSON or from a file; wrong ones raise InputError with the key."""
    text, where = argument, f"settings {shortened(argument)}"
    if not argument.lstrip().startswith("{"):
        try:
            text = Path(argument).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"settings {argument!r}: neither JSON nor a readable file ({error.strerror})") from None
        except ValueError as error:
            raise InputError(f"{where}: not UTF-8, or no path ({error})") from None
    parse = parse_json if text.lstrip().startswith("{") else parse_yaml
    return parse_settings(kind, parse(text, where), "settings")


def needed(path: Path | None, option: str, reason: str) -> Path:
    """The path of an option that this job requires."""
    if path is None:
        raise InputError(f"{option} is missing: {reason}")
    return path
