"""Model families: each is a module of this package, or your own (`family: my_package.my_family` in a config entry).

The module contains the family's settings and a constant `FAMILY` that names its networks. The plan imports it, so it
must not import torch; networks are named as "module:attribute" and imported only where they run. The named modules are
part of the digests of the family's results. docs/adding-a-family.md has a complete example.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import core_schema

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.parsing import parse_settings, shortened
from bright_pipeline.engine.code import OWN, running_roots
from bright_pipeline.settings.autoencoder import AutoencoderSettings
from bright_pipeline.settings.generator import GeneratorSettings

AUTOENCODERS = ("bright", "kl", "rqvae", "vqgan")
GENERATORS = ("ddpm", "imagebart", "stylegan2")


@dataclass(frozen=True)
class Family:
    """What autoencoders and generators have in common."""

    method: str  # the name in the tables
    settings: type[Any]
    model: str  # the network, called with (settings, resolution, channels), or (settings, (C, H, W)) for a generator


@dataclass(frozen=True)
class AutoencoderFamily(Family):
    """Encodes images to codes and decodes them. Its network is an `ImageAutoencoder` (`models/autoencoder.py`)."""

    settings: type[AutoencoderSettings]
    counts: str  # the function that counts parameters and operations, called with (settings, resolution, channels)
    traits: str | None = None  # the function from settings to traits that distinguish the family's rows in the tables


@dataclass(frozen=True)
class GeneratorFamily(Family):
    """Generates images, or codes for an autoencoder. Its network is a `bright_pipeline.models.generator.Generator`."""

    settings: type[GeneratorSettings]
    task: str  # the class of its training task, called with (settings, data, seed, accelerator)
    reads: Literal["images", "codes"] = "images"  # the training data: `TrainingImages` or `TrainingCodes`


def family_module(name: str) -> str:
    """The module of a family: one of this package, or any importable module if the name contains a dot."""
    return name if "." in name else f"{__name__}.{name}"


def check_family(name: Any, where: str, named: Iterable[str]) -> None:
    """InputError if a model's file names a family that is neither built in, nor named by the caller or the config.

    A file can name any module, whose code would run. The config's families are roots of the running stage's code.
    """
    packages = {root.partition(".")[0] for root in running_roots()} - {OWN}
    if not isinstance(name, str) or "." not in name or name in named or name.partition(".")[0] in packages:
        return
    remedy = f"if you trust it, pass families=[{shortened(name)}], or name it in the config of a run"
    problem = f"its family {shortened(name)} is not built in, and a file's word is not enough to run code"
    raise InputError(f"{where}: {problem}: {remedy}")


@cache
def find_family(name: str) -> Family:
    """The family of this name, whose module is imported; InputError if there is none."""
    module = family_module(name)
    try:
        if not all(map(str.isidentifier, module.split("."))):
            raise ModuleNotFoundError(name=module)
        family = getattr(importlib.import_module(module), "FAMILY", None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        names = ", ".join((*AUTOENCODERS, *GENERATORS))
        other = "the name of an importable module, such as my_package.my_family"
        raise InputError(f"no such family: {name!r}; use {names}, or {other}") from None
    if family is None:
        raise InputError(f"{module}: the module of a family must define a constant FAMILY; it has none")
    if not isinstance(family, Family):
        raise InputError(f"{module}: FAMILY must be an AutoencoderFamily or a GeneratorFamily, not {family!r}")
    return family


def autoencoder_family(name: str) -> AutoencoderFamily:
    family = find_family(name)
    if not isinstance(family, AutoencoderFamily):
        raise InputError(f"{name!r} is a family of generators: its entries belong under `generators`")
    return family


def generator_family(name: str) -> GeneratorFamily:
    family = find_family(name)
    if not isinstance(family, GeneratorFamily):
        raise InputError(f"{name!r} is a family of autoencoders: its entries belong under `autoencoders`")
    return family


load = pkgutil.resolve_name
"""The object that "module:attribute" names."""


class ByFamily:
    """A pydantic annotation that validates an entry with the settings of its family (key `family`)."""

    def __init__(self, find: Callable[[str], Family], names: tuple[str, ...], default: str | None):
        self.find, self.names, self.default = find, names, default

    def parse(self, values: dict[str, Any], where: str, trusted: Iterable[str] | None = None) -> Any:
        """The settings in an entry. trusted: for the entry in a model's file, further families whose code may run."""
        if trusted is not None:
            check_family(values.get("family"), where, trusted)
        return parse_settings(self.settings(values), values, where)

    def settings(self, values: dict[str, Any]) -> type[Any]:
        """The settings class for an entry; InputError without a valid family."""
        name = values.get("family", self.default)
        if not isinstance(name, str):
            raise InputError(f"the name of a model family is needed, not {name!r}")
        return self.find(name).settings

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(self, schema: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        classes = [self.find(name).settings for name in self.names]
        return {"oneOf": [handler(settings.__pydantic_core_schema__) for settings in classes]}

    def _validate(self, values: Any) -> Any:
        if isinstance(values, BaseModel):
            return values
        if not isinstance(values, dict):
            raise ValueError(f"must be a section with keys, not {values!r}")
        try:
            settings = self.settings(values)
        except InputError as error:
            raise ValueError(f"family: {error}") from None
        return settings.model_validate(values)


_AUTOENCODERS = ByFamily(autoencoder_family, AUTOENCODERS, "bright")
_GENERATORS = ByFamily(generator_family, GENERATORS, None)
AnyAutoencoder = Annotated[AutoencoderSettings, _AUTOENCODERS]
AnyGenerator = Annotated[GeneratorSettings, _GENERATORS]
parse_autoencoder, parse_generator = _AUTOENCODERS.parse, _GENERATORS.parse
