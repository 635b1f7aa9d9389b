"""What every stage's command has in common: settings, log, one clear line for bad input, SIGTERM."""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel

from pipeline.base.checksums import check
from pipeline.base.errors import InputError, disk_problem
from pipeline.base.heartbeat import beating
from pipeline.base.parsing import parse_json, parse_settings, shortened
from pipeline.base.process import collect_garbage_rarely, keep_freed_memory, on_end_request
from pipeline.base.progress import log_to, logger
from pipeline.base.records import is_out_of_memory
from pipeline.base.running_code import OtherCode, refuse_other_code, split_arguments, watch
from pipeline.base.yaml_files import parse_yaml

TERMINATED = 143  # 128 + SIGTERM, what schedulers expect of a job that they asked to end
KILLED = 137  # 128 + SIGKILL, what the kernel sends when memory ends

CODE_OPTION = "--code ROOT+ROOT=DIGEST: end if these modules' code has another digest; the workflow's word for a job."

SettingsArgument = Annotated[str, typer.Argument(help="The settings: JSON, or the path of a JSON or YAML file.")]
ConfigArgument = Annotated[Path, typer.Argument(help="The run's config file.")]
LogOption = Annotated[Path | None, typer.Option(help="Where the log lines go; the terminal without it.")]

InputsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME=PATH]...", help="Inputs: NAME=PATH or NAME:LABEL=PATH; @FILE: a file of these."),
]

Settings = TypeVar("Settings", bound=BaseModel)


def stage(work: Callable[..., None]) -> Callable[..., None]:
    """The command of a stage from what it does with `job`, its settings: these become text, and it has --log.

    Its help is its module's docstring. Every file that it is told of is checked first, wherever a checksum lies beside
    one: inputs by this alone, and outputs of earlier, which it would replace.
    """
    job, *options = inspect.signature(work).parameters.values()

    @wraps(work)
    def command(settings: str, *values: Any, log: Path | None = None, **named: Any) -> None:
        log_to(log)
        given = _paths((settings, values, list(named.values())))
        check(*(path for path in given if os.path.isdir(path.parent)))  # noqa: PTH112 - False for what can be no path
        work(read_settings(job.annotation, settings), *values, **named)

    text = job.replace(name="settings", annotation=SettingsArgument)
    log = inspect.Parameter("log", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=LogOption)
    command.__signature__ = inspect.Signature([text, *options, log])  # type: ignore[attr-defined]
    command.__doc__ = work.__globals__["__doc__"]  # also of a module that runs as `bright STAGE`
    return command


def _paths(told: Any) -> Iterator[Path]:
    """The files among a command's arguments: paths, `NAME=PATH`, and those in a list or in an `@FILE`."""
    if isinstance(told, Path):
        yield told
    elif isinstance(told, list | tuple):
        for one in told:
            yield from _paths(one)
    elif isinstance(told, str) and told.startswith("@") and "=" not in told:
        yield Path(told[1:])
        yield from _paths(listed([told]))
    elif isinstance(told, str) and not told.lstrip().startswith("{"):
        yield Path(told.partition("=")[2] or told)


def run_stage(command: Callable[..., None], beats: bool = True) -> None:
    """Run a stage's command line: bad input, and what a disk refuses, end with one line and exit code 2.

    SIGTERM, Ctrl-C and SIGHUP end it with 143, an allocation that failed with 137, as if the kernel had been first.
    `beats`: whether this process beats into its job's record (`pipeline.base.heartbeat`); a launcher leaves that to its
    stage.
    `--code ROOT+ROOT=DIGEST`, which the workflow adds, ends a stage whose code has another digest like bad input.
    """
    on_end_request(_terminate)
    keep_freed_memory()
    collect_garbage_rarely()
    told, arguments = split_arguments(sys.argv[1:])
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    epilog = CODE_OPTION if "settings" in inspect.signature(command).parameters else None
    app.command(epilog=epilog)(command)
    try:
        with beating() if beats else nullcontext():
            if told is not None:
                _look_at_code(told, arguments)
            app(arguments)
    except (InputError, OtherCode) as error:
        _end_with(str(error))
    except Exception as error:
        if (line := disk_problem(error)) is not None:
            _end_with(line)
        if not is_out_of_memory(error):
            raise
        logger.info("out of memory: %s", error)
        traceback.print_exc()
        sys.exit(KILLED)


def _end_with(problem: str) -> NoReturn:
    """End with one line, in the log too."""
    line = f"error: {' '.join(problem.split())}"
    logger.info(line)
    print(line, file=sys.stderr)
    sys.exit(2)


def _look_at_code(told: str, arguments: list[str]) -> None:
    """Refuse to run another code than the one told (`pipeline.base.running_code`), in the stage's log too."""
    watch(told)
    try:
        refuse_other_code()
    except OtherCode:
        if "--log" in arguments[:-1]:
            log_to(Path(arguments[arguments.index("--log") + 1]))
        raise


def _terminate(number: int, frame: FrameType | None) -> None:
    """Unwind, so that temporary files go; the training loops install a handler that saves first."""
    sys.exit(TERMINATED)


def read_settings(kind: type[Settings], argument: str) -> Settings:
    """The settings of a stage from inline JSON or from a file; wrong ones raise InputError with the key."""
    text = argument
    if not argument.lstrip().startswith("{"):
        try:
            text = Path(argument).read_text(encoding="utf-8")
        except OSError as error:
            raise InputError(f"settings {argument!r}: neither JSON nor a readable file ({error.strerror})") from None
        except ValueError as error:
            raise InputError(f"settings {shortened(argument)}: not UTF-8, or no path ({error})") from None
    parse = parse_json if text.lstrip().startswith("{") else parse_yaml
    return parse_settings(kind, parse(text, f"settings {shortened(argument)}"), "settings")


def needed(path: Path | None, option: str, reason: str) -> Path:
    """The path of an option that this command can't do without."""
    if path is None:
        raise InputError(f"{option} is missing: {reason}")
    return path


def listed(arguments: list[str] | None) -> list[str]:
    """The arguments of a command; `@FILE` stands for the lines of that file."""
    found: list[str] = []
    for argument in arguments or []:
        if not argument.startswith("@") or "=" in argument:
            found.append(argument)
            continue
        try:
            found += Path(argument[1:]).read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise InputError(f"{argument}: no readable file of arguments ({error.strerror})") from None
    return found
