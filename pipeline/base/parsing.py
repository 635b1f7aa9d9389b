"""From files and plain values to typed settings; what is wrong is told in one line that names file or key."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.base.errors import InputError

Settings = TypeVar("Settings", bound=BaseModel)
Place = tuple[Any, ...]


def read_yaml(path: Path, where: str) -> Any:
    """What a YAML file holds; `where` begins the error's line."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"{where}: not a readable YAML file ({' '.join(str(error).split())})") from None


def read_json(path: Path, where: str) -> Any:
    """What a JSON file holds; `where` begins the error's line."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{where}: not a readable JSON file ({error})") from None


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
        raise InputError(f"{where}: {'; '.join(map(explain, problems))}") from None


def explain(problem: Any) -> str:
    """One pydantic problem as `key: what is wrong (got ...)`."""
    key, message, joint = ".".join(map(str, problem["loc"])), problem["msg"].removeprefix("Value error, "), ": "
    if problem["type"] == "missing":
        message = "this key is missing"
    elif problem["type"] == "value_error":  # the checks of a whole section begin with the key inside it
        joint = "." if re.match(r"[\w.]+: ", message) else joint
    elif problem["type"] != "unknown_key":  # a section names those that it has
        message += f" (got {problem['input']!r})"
    return f"{key}{joint}{message}" if key else message
