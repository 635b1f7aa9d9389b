"""From plain values to typed settings; what is wrong is told in one line that names the key."""

from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.errors import InputError

Settings = TypeVar("Settings", bound=BaseModel)


def parse_settings(kind: type[Settings], values: Any, where: str) -> Settings:
    """Validate `values`; the error names each wrong key and what would be right."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise InputError("; ".join(explain(problem, where) for problem in error.errors())) from None


def explain(problem: Any, where: str) -> str:
    """One pydantic problem as `where: key: what is wrong (got ...)`."""
    key = ".".join(str(part) for part in problem["loc"])
    message = problem["msg"].removeprefix("Value error, ")
    got = "" if problem["type"] in {"missing", "value_error"} else f" (got {problem['input']!r})"
    return f"{where}: {key + ': ' if key else ''}{message}{got}"
