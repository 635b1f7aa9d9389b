"""Building blocks of the typed config."""

import re
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema


class Section(BaseModel):
    """A part of the config: unknown keys are errors, values don't change after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def numerical(self) -> dict[str, Any]:
        """The keys that can change a number, as JSON values: what a digest is made from.

        Keys marked `Operational` (how often to save, where files lie) are left out.
        """
        values = self.model_dump(mode="json")
        for name, field in type(self).model_fields.items():
            extra = field.json_schema_extra
            if isinstance(extra, dict) and extra.get("operational"):
                del values[name]
            elif isinstance(part := getattr(self, name), Section):
                values[name] = part.numerical()
        return values


def operational(default: Any, description: str, **checks: Any) -> Any:
    """A key that changes no number: it is not part of any digest."""
    return Field(default, description=description, json_schema_extra={"operational": True}, **checks)


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


def is_power_of_two(number: int) -> bool:
    return number > 0 and number & (number - 1) == 0
