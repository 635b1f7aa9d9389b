"""Building blocks of the typed config."""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

REFERENCES = ("dataset", "autoencoder", "diffusion", "generator")
"""Keys that name another entry of the config: a name is a name, no number."""


LONGEST_NAME = 100  # of a file system's 255 bytes: names of files have more around it
NAME = rf"^[A-Za-z0-9]([A-Za-z0-9_.-]{{0,{LONGEST_NAME - 2}}}[A-Za-z0-9])?$"


def _check_name(name: str) -> str:
    if re.fullmatch(NAME.strip("^$"), name) is None:
        told = "a name has letters and digits, with `-`, `_` and `.` between them,"
        raise ValueError(f"{told} {LONGEST_NAME} at most, since files are named by it")
    return name


def _distinct_names(entries: dict[str, Any]) -> dict[str, Any]:
    """Reject names that differ by case alone: on some file systems their files would be the same."""
    known: dict[str, str] = {}
    for name in entries:
        if (other := known.setdefault(name.lower(), name)) != name:
            raise ValueError(f"the names {other} and {name} differ by case alone")
    return entries


Name = Annotated[str, AfterValidator(_check_name)]
"""Of a run, or of an entry of a section: it becomes a file's or a folder's."""
Counts = list[Annotated[int, Field(ge=1)]]
"""One number for each level or block."""
DISTINCT_NAMES = AfterValidator(_distinct_names)
MOST_PARTS = 10_000  # jobs that make one set
LARGEST = 2**63 - 1  # seeds and sizes are numbers of 64 bits


def _single(value: Any) -> Iterator[Any]:
    """The values in lists of lists."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from _single(part)
    else:
        yield value


class Section(BaseModel):
    """A part of the config: unknown keys are errors, numbers are finite, values don't change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _with_known_keys(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """What is wrong with an unknown key names those that there are."""
        try:
            return handler(values)._check_values()
        except ValidationError as error:
            problems: list[InitErrorDetails] = []
            for problem in error.errors():
                unknown = problem["type"] == "extra_forbidden"
                told = {"told": cls._unknown_key(str(problem["loc"][0])) if unknown else problem["msg"]}
                kind: Any = "unknown_key" if unknown else problem["type"]
                problems.append(
                    {
                        "type": PydanticCustomError(kind, "{told}", told),
                        "loc": problem["loc"],
                        "input": problem["input"],
                    }
                )
            raise ValidationError.from_exception_data(cls.__name__, problems) from None

    def _check_values(self) -> Self:
        """Reject integers beyond 64 bits, and NUL bytes in text and paths."""
        for name in type(self).model_fields:
            for value in _single(getattr(self, name)):
                if isinstance(value, int) and abs(value) > LARGEST:
                    told = f"not one of {value.bit_length()} bits"
                    raise ValueError(f"{name}: whole numbers from -2^63 to 2^63, {told}")
                if isinstance(value, str | Path) and "\0" in str(value):
                    raise ValueError(f"{name}: a text without NUL bytes, not {str(value)[:80]!r}")
        return self

    @classmethod
    def _unknown_key(cls, name: str) -> str:
        """No such key, and which ones there are; the nearest one alone where one is near."""
        names = sorted(cls.model_fields)
        near = difflib.get_close_matches(name, names, n=1)
        return f"no such key; did you mean {near[0]}?" if near else f"no such key; there are {', '.join(names)}"

    def numerical(self) -> dict[str, Any]:
        """The keys that can change a number, as JSON values: what a digest is made from.

        Left out are operational keys (how often to save, where files lie), names of other entries, what counts by its
        content, and keys of a later version while they say what was done before there was such a key.
        """
        values = self.model_dump(mode="json")
        for name in type(self).model_fields:
            part = getattr(self, name)
            marks = self._marks(name)
            by_content = marks.get("by_content") or (name in REFERENCES and isinstance(part, str))
            if marks.get("operational") or by_content or ("before" in marks and values[name] == marks["before"]):
                del values[name]
            elif isinstance(part, Section):
                values[name] = part.numerical()
        return values

    def operational(self) -> set[str]:
        """The keys that change no number."""
        return {name for name in type(self).model_fields if self._marks(name).get("operational")}

    @classmethod
    @cache
    def _marks(cls, name: str) -> dict[str, Any]:
        extra = cls.model_fields[name].json_schema_extra
        return extra if isinstance(extra, dict) else {}


def operational(default: Any, description: str, **checks: Any) -> Any:
    """A key that changes no number: it is not part of any digest."""
    return Field(default, description=description, json_schema_extra={"operational": True}, **checks)


def by_content(default: Any, description: str) -> Any:
    """A key that says where something is: what lies there is in digests, as an input or a sha256, its place is not."""
    return Field(default, description=description, json_schema_extra={"by_content": True})


def added(default: Any, before: Any, description: str, **checks: Any) -> Any:
    """A key of a later version. `before`, as JSON has it, says what was done without it: with that value it is no part
    of any digest, so that results of earlier versions stay what they are."""
    return Field(default, description=description, json_schema_extra={"before": before}, **checks)


class CodeSize(NamedTuple):
    """H_z x W_z x C_z of a key code (Table 1)."""

    height: int
    width: int
    channels: int

    def __str__(self) -> str:
        return f"{self.height}x{self.width}x{self.channels}"


def _parse_code_size(value: Any) -> CodeSize:
    if isinstance(value, CodeSize):
        return value
    match = re.fullmatch(r"(\d+)x(\d+)x(\d+)", str(value).replace(" ", ""))
    if match is None or "0" in match.groups():
        raise ValueError(f"a code size reads HEIGHTxWIDTHxCHANNELS, such as 64x64x4, not {value!r}")
    return CodeSize(*(int(part) for part in match.groups()))


CodeSizeField = Annotated[
    CodeSize,
    BeforeValidator(_parse_code_size),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^\d+x\d+x\d+$"}),
]


def check_parts(key: str, count: int, size: int) -> None:
    """ValueError where `count` images in parts of `size`, as `key` says, are more jobs than a workflow can plan."""
    if count > MOST_PARTS * size:
        raise ValueError(
            f"{key}: {count} images make over {MOST_PARTS} jobs of {size}; at least {-(-count // MOST_PARTS)}"
        )


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
