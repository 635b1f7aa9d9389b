"""From files and plain values to typed settings; what is wrong is told in one line that names file or key."""

import json
import re
import reprlib
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.base.errors import InputError

Settings = TypeVar("Settings", bound=BaseModel)
Place = tuple[Any, ...]

MOST_TOLD = 12  # problems in one line
LONGEST_TOLD = 500  # letters of each
LONGEST_LINE = 1500  # letters of all
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


def shortened(value: Any) -> str:
    """A value as it stands in an error's line, whatever its size."""
    return _SHORT.repr(value)


def read_json(path: Path, where: str) -> Any:
    """What a JSON file holds; `where` begins the error's line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: not a readable JSON file ({error})") from None
    return parse_json(text, where)


def parse_json(text: str, where: str) -> Any:
    """What JSON says; `where` begins the error's line."""
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a readable JSON file ({error})") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number that JSON has")


def parse_settings(
    kind: type[Settings], values: Any, where: str, origin: Callable[[Place], Place] | None = None
) -> Settings:
    """Validate `values`; the error names each wrong key and what would be right.

    `origin` gives the key that a key's value comes from: a problem that both have is told once.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = error.errors()
        told = {(problem["loc"], problem["msg"]) for problem in problems}
        if origin is not None:
            problems = [
                problem
                for problem in problems
                if origin(problem["loc"]) == problem["loc"] or (origin(problem["loc"]), problem["msg"]) not in told
            ]
        lines = list(map(explain, problems[:MOST_TOLD]))
        while len(lines) > 1 and sum(map(len, lines)) > LONGEST_LINE:
            lines.pop()
        more = [f"and {len(problems) - len(lines)} more"] if len(problems) > len(lines) else []
        raise InputError(f"{where}: {'; '.join(lines + more)}") from None


def explain(problem: Any) -> str:
    """One pydantic problem as `key: what is wrong (got ...)`."""
    key = ".".join(_printed(part) for part in problem["loc"] if part != "[key]")  # pydantic's mark of a wrong key
    message, joint = problem["msg"].removeprefix("Value error, "), ": "
    if problem["type"] == "missing":
        message = "this key is missing"
    elif problem["type"] == "value_error":  # the checks of a whole section begin with the key inside it
        joint = "." if re.match(r"[\w.]+: ", message) else joint
    elif problem["type"] != "unknown_key":  # a section names those that it has
        message += f" (got {shortened(problem['input'])})"
    told = textwrap.shorten(message, LONGEST_TOLD, placeholder=" ...")
    told = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in told)
    return f"{key}{joint}{told}" if key else told


def _printed(part: Any) -> str:
    """A key inside an error's line: one that is odd is quoted."""
    return str(part) if isinstance(part, int) or re.fullmatch(r"[\w@-][\w.@-]{0,80}", str(part)) else shortened(part)
