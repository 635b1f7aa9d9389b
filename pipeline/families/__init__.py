"""Model families: each is one module here, or one of yours (`family: my_package.my_family` in a config entry).

The module holds the family's settings and a constant `FAMILY` that says where its networks are. The plan
imports it, so it imports no torch; networks are named as "module:attribute" and loaded where they run. The
modules so named are part of the digests of the family's results. docs/adding-a-family.md shows one whole.
"""

import ast
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.abc import SourceLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import core_schema

from pipeline.base.errors import InputError
from pipeline.base.parsing import parse_settings
from pipeline.settings.autoencoder import AutoencoderSettings
from pipeline.settings.generator import GeneratorSettings

Settings = TypeVar("Settings", bound=BaseModel)

AUTOENCODERS = ("bright", "kl", "rqvae", "vqgan")
GENERATORS = ("ddpm", "imagebart", "stylegan2")


@dataclass(frozen=True)
class Family:
    """What every family has."""

    method: str
    """As the tables print it."""
    settings: type[Any]
    model: str
    """The network's class, called with (settings, resolution, channels), or (settings, (C, H, W)) of a generator."""

    @property
    def code(self) -> tuple[str, ...]:
        """Modules whose code can change the numbers of what is trained or made with it."""
        return (_module(self.model),)


@dataclass(frozen=True)
class AutoencoderFamily(Family):
    """Encodes images to codes and decodes them; its network is `pipeline.models.autoencoder.ImageAutoencoder`."""

    settings: type[AutoencoderSettings]
    counts: str
    """The function that counts parameters and operations, called with (settings, resolution, channels)."""
    traits: str | None = None
    """The function that gives what tells its rows of the tables apart beside what all families have, from settings."""


@dataclass(frozen=True)
class GeneratorFamily(Family):
    """Makes images, or codes that an autoencoder decodes; its network is `pipeline.models.generator.Generator`."""

    settings: type[GeneratorSettings]
    task: str
    """The class of its training, called with (settings, data, seed, accelerator)."""
    reads: Literal["images", "codes"] = "images"
    """What it is trained on: a `TrainingImages`, or the codes of an autoencoder, a `TrainingCodes`."""

    @property
    def training_code(self) -> tuple[str, ...]:
        """Modules whose code can change the trained weights."""
        return (_module(self.model), _module(self.task))


def family_module(name: str) -> str:
    """The module of a family: one here, or any importable one where the name has a dot."""
    return name if "." in name else f"{__name__}.{name}"


@cache
def find_family(name: str) -> Family:
    """The family of this name: of a module here, or of any importable module where the name has a dot.

    Names come from files of others, too: a module that binds no FAMILY is not imported to see that.
    """
    module = family_module(name)
    try:
        found = importlib.import_module(module).FAMILY if _binds_family(module) else None
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        known = ", ".join((*AUTOENCODERS, *GENERATORS))
        raise InputError(
            f"no such family: {name!r}; there are {known}, or give a module that can be imported, such as"
            " my_package.my_family"
        ) from None
    if found is None:
        raise InputError(f"{module}: a family's module holds a constant FAMILY; there is none")
    if not isinstance(found, Family):
        raise InputError(f"{module}: FAMILY must be an AutoencoderFamily or a GeneratorFamily, not {found!r}")
    return found


def _binds_family(module: str) -> bool:
    """Whether a module's source binds FAMILY, found and read without running it or the packages around it."""
    spec = _found(module)
    if not isinstance(spec.loader, SourceLoader):
        return False
    source = spec.loader.get_data(spec.loader.get_filename(module))
    return any(
        (isinstance(node, ast.Name) and node.id == "FAMILY" and isinstance(node.ctx, ast.Store))
        or (isinstance(node, ast.alias) and (node.asname or node.name) == "FAMILY")
        for node in ast.walk(ast.parse(source))
    )


def _found(module: str) -> ModuleSpec:
    """Where a module is, found without running the packages around it."""
    spec, place = None, None
    parts = module.split(".")
    for number, part in enumerate(parts, 1):
        name = ".".join(parts[:number])
        specs = (finder.find_spec(name, place) for finder in sys.meta_path) if part.isidentifier() else ()
        spec = next((found for found in specs if found is not None), None)
        if spec is None:
            raise ModuleNotFoundError(name=name)
        place = spec.submodule_search_locations or []
    assert spec is not None
    return spec


def family_file(name: str) -> Path | None:
    """The file that a family's module would be imported from; nothing is imported. None where there is no module."""
    try:
        origin = _found(family_module(name)).origin
    except ModuleNotFoundError:
        return None
    return Path(origin) if origin is not None else None


def autoencoder_family(name: str) -> AutoencoderFamily:
    """A family of autoencoders."""
    family = find_family(name)
    if not isinstance(family, AutoencoderFamily):
        raise InputError(f"{name!r} is a family of generators: its entries stand under `generators`")
    return family


def generator_family(name: str) -> GeneratorFamily:
    """A family of generators."""
    family = find_family(name)
    if not isinstance(family, GeneratorFamily):
        raise InputError(f"{name!r} is a family of autoencoders: its entries stand under `autoencoders`")
    return family


def load(name: str) -> Any:
    """What "module:attribute" names."""
    return getattr(importlib.import_module(_module(name)), name.partition(":")[2])


def _module(name: str) -> str:
    return name.partition(":")[0]


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
