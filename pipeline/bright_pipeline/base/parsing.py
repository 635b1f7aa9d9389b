"""Parse files and plain values into typed settings. An error is one line that names the file or the key."""

import json
import re
import reprlib
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from bright_pipeline.base.errors import InputError, readable

Settings = TypeVar("Settings", bound=BaseModel)
Key = tuple[Any, ...]

MOST_PROBLEMS = 12  # in one line
LONGEST_PROBLEM = 500  # characters
LONGEST_LINE = 1500  # characters
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


def shortened(value: Any) -> str:
    """A value for an error line, cut off if it is long."""
    return _SHORT.repr(value)


def read_json(path: Path, where: str) -> Any:
    """The content of a JSON file. An error message starts with `where`."""
    with readable(f"{where}: not a readable JSON file"):
        return parse_json(path.read_text(encoding="utf-8"), where)


def parse_json(text: str, where: str) -> Any:
    """Parse JSON; NaN and infinity are errors. An error message starts with `where`."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not a JSON number")

    with readable(f"{where}: not a readable JSON file"):
        return json.loads(text, parse_constant=refuse)


def named_paths(arguments: Iterable[str]) -> list[tuple[str, Path]]:
    """The names and the paths of arguments `NAME=PATH`."""
    pairs = [argument.partition("=") for argument in arguments]
    for name, equals, path in pairs:
        if not (name and equals and path):
            raise InputError(f"input {name + equals + path!r}: must be NAME=PATH, such as main=summary.json")
    return [(name, Path(path)) for name, _, path in pairs]


def parse_settings(
    kind: type[Settings], values: Any, where: str, origin: Callable[[Key], Key] | None = None
) -> Settings:
    """Validate `values`; InputError names each wrong key and the values that it allows.

    origin: returns the key from which a key inherits its value; a problem of both keys is reported once.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        for problem in problems:
            problem["loc"] = _written(problem["loc"], values)
        if origin is not None:
            reported = {(problem["loc"], problem["msg"]) for problem in problems}
            problems = [
                problem
                for problem in problems
                if origin(problem["loc"]) == problem["loc"] or (origin(problem["loc"]), problem["msg"]) not in reported
            ]
        lines = list(map(explain, problems[:MOST_PROBLEMS]))
        while len(lines) > 1 and sum(map(len, lines)) > LONGEST_LINE:
            lines.pop()
        more = [f"and {len(problems) - len(lines)} more"] if len(problems) > len(lines) else []
        raise InputError(f"{where}: {'; '.join(lines + more)}") from None


def _written(key: Key, values: Any) -> Key:
    """A key as the file has it, without the value of `kind` that pydantic inserts behind a section with kinds."""
    written: list[Any] = []
    for part in key:
        if isinstance(values, dict) and part == values.get("kind"):
            continue
        written.append(part)
        try:
            values = values[part]
        except (LookupError, TypeError):
            values = None
    return tuple(written)


def explain(problem: Any) -> str:
    """A pydantic problem as `key: reason (got ...)`."""
    key = ".".join(_printed(part) for part in problem["loc"] if part != "[key]")  # pydantic marks a wrong key by [key]
    message, joint = problem["msg"].removeprefix("Value error, "), ": "
    if problem["type"] == "missing":
        message = "this key is missing"
    elif problem["type"] == "value_error":  # messages about a whole section start with a key of the section
        joint = "." if re.match(r"[\w.]+: ", message) else joint
    elif problem["type"] != "unknown_key":  # this message lists the keys of its section
        message += f" (got {shortened(problem['input'])})"
    short = textwrap.shorten(message, LONGEST_PROBLEM, placeholder=" ...")
    printable = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in short)
    return f"{key}{joint}{printable}" if key else printable


def _printed(part: Any) -> str:
    """A key in an error line, quoted if it is unusual."""
    return str(part) if isinstance(part, int) or re.fullmatch(r"[\w@-][\w.@-]{0,80}", str(part)) else shortened(part)
