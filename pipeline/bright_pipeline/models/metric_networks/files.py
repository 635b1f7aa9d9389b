"""Weights of metric networks: safetensors files whose tensors have a known sha256. Other tensors are refused.

Importing this module does not import torch: a file can be checked without it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from safetensors import safe_open

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.engine.atomic import atomic_path
from bright_pipeline.models.metric_networks import manifest

# A single key: safetensors does not sort its metadata, and the file's bytes must depend on its content only.
METADATA_KEY = "network"


def weights_sha256(tensors: Mapping[str, Any]) -> str:
    """The sha256 of tensors of torch or numpy: for each, by name: the name, torch's type, the shape and the bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.asarray(tensors[name])
        digest.update(f"{name}\0torch.{array.dtype}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def layout(shapes: Mapping[str, Sequence[int]]) -> str:
    """16 digits of the sha256 of tensors' names and shapes, without the counters of batch norms."""
    weights = {name: shape for name, shape in sorted(shapes.items()) if not name.endswith("num_batches_tracked")}
    lines = (f"{name} {'x'.join(map(str, shape))}\n" for name, shape in weights.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def check_layout(name: str, shapes: Mapping[str, Sequence[int]], what: str) -> None:
    """Raise InputError unless the tensors of `what` have the network's names and shapes."""
    if layout(shapes) != manifest.network(name).layout:
        first = ", ".join(f"{key} {'x'.join(map(str, shape))}" for key, shape in sorted(shapes.items())[:2])
        wanted = f"those of {manifest.network(name).title}; remove the file and fetch it again"
        raise InputError(f"{what}: the names and shapes of its tensors ({len(shapes)}: {first}, ...) are not {wanted}")


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(digest: str, expected: str, what: str) -> None:
    """Raise InputError unless the sha256 of `what` starts with `expected`."""
    if not digest.startswith(expected):
        raise InputError(f"{what}: sha256 is {digest}, should be {expected}; remove the file and fetch it again")


def write_network(name: str, tensors: dict[str, Any], path: Path) -> str:
    """Check a network's weights against the manifest and write them atomically; returns their sha256."""
    from safetensors.torch import save_file  # imports torch

    check_layout(name, {key: tensor.shape for key, tensor in tensors.items()}, f"network {name}")
    digest = weights_sha256(tensors)
    check_sha256(digest, manifest.network(name).weights_sha256 or "", f"network {name}")
    metadata = {METADATA_KEY: json.dumps({"name": name, "weights_sha256": digest})}
    with atomic_path(path) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, metadata)
    return digest


def read_network(name: str, path: Path | str, framework: Literal["pt", "numpy"] = "pt") -> tuple[dict[str, Any], str]:
    """A network's weights and their sha256, which must be the manifest's, else that of the file's metadata."""
    path = Path(path)
    if not path.is_file():
        raise InputError(manifest.missing_line(name, path.parent))
    damaged = readable(f"network {name}: {path} is not a whole safetensors file")
    with damaged, safe_open(path, framework=framework) as file:
        metadata = dict(json.loads((file.metadata() or {}).get(METADATA_KEY, "{}")))
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118 (not a dict)
        check_layout(name, shapes, f"network {name}: {path}")
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    digest = weights_sha256(tensors)
    expected = manifest.network(name).weights_sha256 or metadata.get("weights_sha256") or ""
    check_sha256(digest, str(expected), f"network {name}: {path}")
    return tensors, digest


class NetworkState(NamedTuple):
    """Whether one network is available.

    here: its file has the right sha256, or the right names and shapes if no sha256 is known; fetchable: a run fetches
    it; wrong: its file is another one, and a run would stop; missing: its metrics are skipped.
    """

    name: str
    status: Literal["here", "fetchable", "wrong", "missing"]
    line: str  # where the file is or comes from; if wrong or missing, the problem and its remedy


def network_state(name: str, folder: Path | str) -> NetworkState:
    """The state of a network in a networks folder; hashes the file that a run would read, without torch."""
    path, source = manifest.network_path(name, folder), manifest.network(name).source
    try:
        if path.is_file():
            read_network(name, path, "numpy")
            return NetworkState(name, "here", str(path))
        if (local := manifest.source_file(name, folder)) is not None:
            source, file = local
            check_sha256(file_sha256(file), source.sha256, f"network {name}: {file}")
            if isinstance(source, manifest.PackageFile) and file.parent != Path(folder):
                return NetworkState(name, "fetchable", f"the installed package {source.package}")
            return NetworkState(name, "fetchable", str(file))
    except InputError as error:
        return NetworkState(name, "wrong", str(error))
    if isinstance(source, manifest.PypiArchive):
        return NetworkState(name, "fetchable", f"the package index ({source.requirement})")
    return NetworkState(name, "missing", manifest.missing_line(name, folder))
