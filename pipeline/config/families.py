"""Entries of the config whose keys depend on their family."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from pipeline.base.errors import InputError
from pipeline.base.parsing import parse_settings
from pipeline.families import AUTOENCODERS, GENERATORS, autoencoder_family, generator_family
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.generator import GeneratorSettings

Settings = TypeVar("Settings", bound=BaseModel)


def parse_autoencoder(values: dict[str, Any], where: str) -> AutoencoderSettings:
    """An autoencoder's settings, of whatever family."""
    return parse_settings(_settings_of(values, autoencoder_family, "bright"), values, where)


def parse_generator(values: dict[str, Any], where: str) -> GeneratorSettings:
    """A generator's settings, of whatever family."""
    return parse_settings(_settings_of(values, generator_family, None), values, where)


class ByFamily:
    """A pydantic annotation: validates an entry with its family's settings, told by its key `family`."""

    def __init__(self, find: Callable[[str], Any], names: tuple[str, ...], default: str | None):
        self.find, self.names, self.default = find, names, default

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        kinds = [self.find(name).settings.__pydantic_core_schema__ for name in self.names]
        return {"oneOf": [handler(kind) for kind in kinds]}

    def _validate(self, values: Any) -> Any:
        if isinstance(values, BaseModel):
            return values
        if not isinstance(values, dict):
            raise ValueError(f"a section with keys of its own, not {values!r}")
        try:
            kind = _settings_of(values, self.find, self.default)
        except InputError as error:
            raise ValueError(f"family: {error}") from None
        return kind.model_validate(values)


def _settings_of(values: dict[str, Any], find: Callable[[str], Any], default: str | None) -> type[Any]:
    name = values.get("family", default)
    if not isinstance(name, str):
        raise InputError(f"the name of a model family is needed, not {name!r}")
    return find(name).settings


AnyAutoencoder = Annotated[AutoencoderSettings, ByFamily(autoencoder_family, AUTOENCODERS, "bright")]
AnyGenerator = Annotated[GeneratorSettings, ByFamily(generator_family, GENERATORS, None)]
