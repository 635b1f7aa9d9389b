"""Building blocks of the typed config."""

import difflib
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

import pydantic
from pydantic import AfterValidator, BaseModel, Field, ValidationError
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError

LONGEST_NAME = 100  # characters: a file system allows 255 bytes, and file names add more to it
NAME = rf"^[A-Za-z0-9]([A-Za-z0-9_.-]{{0,{LONGEST_NAME - 2}}}[A-Za-z0-9])?$"
MAX_JOBS = 10_000  # jobs that one sample set may be divided into
SOURCE = " Default: "  # begins the last sentence of a description
MOST_BLOCKS = 1000  # of a level: building a million would take hours before any check
INT64_MAX = 2**63 - 1  # seeds and sizes are 64-bit integers

Entry = TypeVar("Entry")
Part = TypeVar("Part", bound="Section")


def _check_name(name: str) -> str:
    if re.fullmatch(NAME.strip("^$"), name) is None:
        signs = "letters and digits, with `-`, `_` and `.` between them"
        most = f"at most {LONGEST_NAME} characters: it becomes part of file names"
        raise ValueError(f"a name consists of {signs}, and has {most}")
    return name


def _check_case(entries: dict[str, Any]) -> dict[str, Any]:
    """Refuse names that a case-insensitive file system would merge."""
    by_lower_case: dict[str, str] = {}
    for name in entries:
        if (other := by_lower_case.setdefault(name.lower(), name)) != name:
            raise ValueError(f"the names {other} and {name} differ only in case")
    return entries


Name = Annotated[str, AfterValidator(_check_name)]  # the name of a run or of an entry: it becomes part of a file name
Entries = Annotated[dict[Name, Entry], AfterValidator(_check_case)]  # a section whose entries have names
Counts = list[Annotated[int, Field(ge=1)]]  # one number per level or block
Beta = Annotated[float, Field(ge=0, lt=1)]
Betas = tuple[Beta, Beta]  # of Adam


class Section(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A part of the config: unknown keys are errors, numbers are finite, values are frozen after validation."""

    REFERENCES: ClassVar[tuple[str, ...]] = ()  # keys that name another entry of the config; names are in no digest

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _validated(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """The section, with checked values; the error for an unknown key suggests the known keys."""
        try:
            section = handler(values)
            for name in cls.model_fields:
                _check_value(name, getattr(section, name))
            section._check()
            return section
        except ValidationError as error:
            problems: list[InitErrorDetails] = []
            for problem in error.errors():
                kind, message, loc = problem["type"], problem["msg"], problem["loc"]
                if kind == "extra_forbidden":
                    kind, message = "unknown_key", _no_such("key", str(loc[0]), sorted(cls.model_fields))
                elif kind == "invalid_key":
                    reason = "in {...} a comma begins a new key: write 8000 for 8,000"
                    kind, message = "unknown_key", f"no such key; {reason}"
                elif kind in ("model_type", "model_attributes_type", "dict_type"):
                    message = "must be a section with keys"
                elif kind == "union_tag_not_found":
                    kind, loc = "missing", (*loc, "kind")
                elif kind == "union_tag_invalid":
                    kinds = re.findall(r"'(.*?)'", problem["ctx"]["expected_tags"])
                    kind, message, loc = "unknown_key", _no_such("kind", problem["ctx"]["tag"], kinds), (*loc, "kind")
                custom = PydanticCustomError(kind, "{message}", {"message": message})
                problems.append({"type": custom, "loc": loc, "input": problem["input"]})
            raise ValidationError.from_exception_data(cls.__name__, problems) from None

    def _check(self) -> None:
        """ValueError for keys that do not fit together; the message begins with the key. A subclass extends it."""

    def numerical(self) -> dict[str, Any]:
        """The keys that can change a number, as JSON values: the input of a digest.

        Excluded are operational keys, names of other entries, keys whose content is hashed instead, and keys added in a
        later version while they have the value that reproduces the earlier behaviour.
        """
        values = self.model_dump(mode="json")
        for name in type(self).model_fields:
            part = getattr(self, name)
            marks = self._marks(name)
            by_content = marks.get("by_content") or (name in self.REFERENCES and isinstance(part, str))
            if marks.get("operational") or by_content or ("before" in marks and values[name] == marks["before"]):
                values.pop(name, None)
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


def _no_such(noun: str, name: str, choices: list[str]) -> str:
    near = difflib.get_close_matches(name, choices, n=1)
    return f"no such {noun}; " + (f"did you mean {near[0]}?" if near else f"the {noun}s are {', '.join(choices)}")


def _check_value(key: str, value: Any) -> None:
    """Refuse integers beyond 64 bits and paths that no file system has; also inside nested lists."""
    if isinstance(value, list | tuple):
        for item in value:
            _check_value(key, item)
    if isinstance(value, int) and abs(value) > INT64_MAX:
        raise ValueError(f"{key}: must be between -2^63 and 2^63; this integer has {value.bit_length()} bits")
    if isinstance(value, str | Path) and "\0" in str(value):
        raise ValueError(f"{key}: NUL bytes are not allowed, but found in {str(value)[:80]!r}")
    if isinstance(value, Path) or (key == "path" and isinstance(value, str)):
        longest = max((len(part.encode(errors="replace")) for part in Path(value).parts), default=0)
        if len(str(value)) > 4000 or longest > 255:
            short = f"{str(value)[:80]!r}..."
            raise ValueError(f"{key}: a path of at most 4,000 characters, 255 bytes a name, is needed, not {short}")


def setting(default: Any, description: str, **checks: Any) -> Any:
    """A key with a default; a required key is a pydantic Field."""
    return Field(default, description=description, **checks)


def hashed(default: Any, description: str) -> Any:
    """A key whose content is part of digests, such as the files at a path, and not its value."""
    return Field(default, description=description, json_schema_extra={"by_content": True})


def operational(default: Any, description: str, **checks: Any) -> Any:
    """A key that changes no number: it is not part of any digest."""
    return Field(default, description=description, json_schema_extra={"operational": True}, **checks)


def added(default: Any, description: str, before: Any = ..., **checks: Any) -> Any:
    """A key added in a later version.

    before: the JSON value that reproduces the behaviour of earlier versions; by default that of the default. With that
    value the key is not part of any digest, so that earlier results stay valid.
    """
    marks = {"before": default if before is ... else before}
    return Field(default, description=description, json_schema_extra=marks, **checks)


Label = Annotated[
    str | None,
    operational(
        None,
        "Words for the entry in tables, figures, the page and sentences, such as `without tables`. By default the"
        " changed keys or the method. Entries that are `like` this one do not inherit it.",
        pattern=r"^[^=\s]([^=\n]{0,58}[^=\s])?$",
        exclude=True,  # it is in no job's settings and in no file of weights
    ),
]


class Noted(NamedTuple):
    """A default and its source, which ends the description of the key."""

    value: Any
    source: str


def preset(**defaults: Any) -> Callable[[type[Part]], type[Part]]:
    """A class decorator: other defaults for inherited keys, such as a recipe's; a dict changes those in a section."""

    def changed(section: type[Part]) -> type[Part]:
        fields: dict[str, Any] = {}
        for key, value in defaults.items():
            field = section.model_fields[key]
            annotation, description = field.annotation, (field.description or "").partition(SOURCE)[0]
            if isinstance(value, Noted):
                value, description = value.value, f"{description}{SOURCE}{value.source}."
            elif isinstance(value, dict):
                assert isinstance(annotation, type) and issubclass(annotation, Section)
                annotation = preset(**value)(annotation)
                value = annotation()
            checks, marks = field.metadata, field.json_schema_extra
            changed_field = Field(value, description=description, json_schema_extra=marks)
            fields[key] = (Annotated[annotation, *checks] if checks else annotation, changed_field)
        names: dict[str, Any] = {"__doc__": section.__doc__, "__module__": section.__module__}
        return pydantic.create_model(section.__name__, __base__=section, **names, **fields)

    return changed


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
    match = re.fullmatch(r"([1-9][0-9]*)x([1-9][0-9]*)x([1-9][0-9]*)", str(value).replace(" ", ""))
    if match is None:
        raise ValueError(f"must be HEIGHTxWIDTHxCHANNELS, such as 64x64x4, not {value!r}")
    return CodeSize(*(int(part) for part in match.groups()))


CodeSizeField = Annotated[
    CodeSize,
    pydantic.BeforeValidator(_parse_code_size),
    pydantic.PlainSerializer(CodeSize.__str__),
    pydantic.WithJsonSchema({"type": "string", "pattern": r"^[1-9][0-9]*x[1-9][0-9]*x[1-9][0-9]*$"}),
]


def check_jobs(key: str, count: int, size: int) -> None:
    """ValueError if `count` images in shards of `size` (config key `key`) make more jobs than a workflow can plan."""
    if count > MAX_JOBS * size:
        remedy = f"use at least {-(-count // MAX_JOBS)} images per shard"
        raise ValueError(f"{key}: {count} images in shards of {size} make more than {MAX_JOBS} jobs; {remedy}")


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
