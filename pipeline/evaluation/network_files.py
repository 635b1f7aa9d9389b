"""Network files: safetensors whose tensors have a known sha256; a wrong one is refused by name."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.atomic import atomic_path
from pipeline.errors import InputError
from pipeline.evaluation.networks import missing_line, network

# One key, so that the file's bytes depend on its content alone (safetensors does not order its metadata).
METADATA_KEY = "network"


def weights_sha256(tensors: dict[str, Tensor]) -> str:
    """The sha256 of a network's tensors: sorted names, types, shapes and bytes, whatever file holds them."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(found: str, expected: str, what: str) -> None:
    """Refuse `what` unless its sha256 is `expected` (which may be only the first digits)."""
    if not found.startswith(expected):
        raise InputError(f"{what}: sha256 is {found}, should be {expected}; remove the file and fetch it again")


def write_network(name: str, tensors: dict[str, Tensor], path: Path) -> str:
    """Write a network's weights, atomically, after the check against the manifest; returns their sha256."""
    digest = weights_sha256(tensors)
    expected = network(name).weights_sha256
    if expected is not None:
        check_sha256(digest, expected, f"network {name}")
    metadata = {METADATA_KEY: json.dumps({"name": name, "weights_sha256": digest})}
    with atomic_path(path) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, metadata)
    return digest


def read_network(name: str, path: Path | str) -> tuple[dict[str, Tensor], str]:
    """A network's weights and their sha256.

    The sha256 must be the manifest's; where the manifest has none yet, the one recorded in the file.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(missing_line(name, path.parent))
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"network {name}: {path} is not a whole safetensors file ({error})") from None
    digest = weights_sha256(tensors)
    expected = network(name).weights_sha256 or metadata.get("weights_sha256")
    if expected is not None:
        check_sha256(digest, expected, f"network {name}: {path}")
    return tensors, digest
