"""From plain values to typed settings; what is wrong is told in one line that names the key."""

import difflib
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.base.errors import InputError

Settings = TypeVar("Settings", bound=BaseModel)


Place = tuple[Any, ...]


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
        raise InputError(f"{where}: {'; '.join(_explain(problem, kind) for problem in problems)}") from None


def explain(problem: Any, where: str) -> str:
    """One pydantic problem as `where: key: what is wrong (got ...)`."""
    return f"{where}: {_explain(problem)}"


def _explain(problem: Any, kind: type[BaseModel] | None = None) -> str:
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    match problem["type"]:
        case "missing":
            message = "this key is missing"
        case "extra_forbidden" if kind is not None:
            message = unknown_key(problem["loc"], kind)
        case "unknown_key":  # of an entry whose keys depend on its family
            pass
        case "value_error":
            # The checks of a whole section begin with the key inside it.
            return (
                f"{key}.{message}"
                if key and re.match(r"[\w.]+: ", message)
                else f"{key + ': ' if key else ''}{message}"
            )
        case _:
            message += f" (got {problem['input']!r})"
    return f"{key + ': ' if key else ''}{message}"


def unknown_key(place: Place, kind: type[BaseModel]) -> str:
    """No such key, and which ones there are; the nearest name alone where one is near."""
    names = _names(kind.model_json_schema(), place[:-1])
    near = difflib.get_close_matches(str(place[-1]), names, n=1)
    if near:
        return f"no such key; did you mean {near[0]}?"
    return f"no such key; there {'are' if names else 'is no other'} {', '.join(names)}".rstrip()


def _names(schema: dict[str, Any], place: Place) -> list[str]:
    """The keys that a section of the config can have."""
    definitions = schema.get("$defs", {})

    def resolved(part: dict[str, Any]) -> dict[str, Any]:
        return definitions[part["$ref"].rsplit("/", 1)[-1]] if "$ref" in part else part

    def alternatives(part: dict[str, Any]) -> list[dict[str, Any]]:
        part = resolved(part)
        return [resolved(choice) for choice in part.get("anyOf", part.get("oneOf", [part]))]

    here = [resolved(schema)]
    for name in place:
        below: list[dict[str, Any]] = []
        for part in here:
            tag = part.get("properties", {}).get("kind", {}).get("const")
            if tag is not None and tag == name:  # a union's tag is part of the place, but no key
                below.append(part)
            elif name in part.get("properties", {}):
                below += alternatives(part["properties"][name])
            elif isinstance(part.get("additionalProperties"), dict):
                below += alternatives(part["additionalProperties"])
        here = below
    return sorted({name for part in here for name in part.get("properties", {})})
