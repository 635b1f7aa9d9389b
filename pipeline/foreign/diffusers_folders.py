"""Folders that diffusers saves: a UNet2DModel, alone or under `unet/` of a pipeline, such as google/ddpm-church-256.

Its config must say what our settings say, key by key. Old files name attention's layers otherwise.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from diffusers import UNet2DModel

from pipeline.base.errors import InputError
from pipeline.foreign.files import read_tensors
from pipeline.foreign.fitting import fill

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
DEPRECATED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
# Keys of the config that change no number: a test's or a trainer's.
IRRELEVANT = ("dropout", "num_train_timesteps")


def import_unet_folder(model: UNet2DModel, folder: Path) -> None:
    """Fill an untrained UNet2DModel with a folder's weights; InputError names what its config has otherwise."""
    place = folder / "unet" if (folder / "unet" / "config.json").exists() else folder
    _check_config(model, place)
    path = next((place / name for name in WEIGHTS if (place / name).exists()), None)
    if path is None:
        raise InputError(f"{place}: none of {', '.join(WEIGHTS)} is there")
    fill(model, {_current_name(name): tensor for name, tensor in read_tensors(path).items()}, path)


def _check_config(model: UNet2DModel, place: Path) -> None:
    """The architecture in the folder against the one that the settings give."""
    file = place / "config.json"
    try:
        given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{file}: not a readable config of diffusers ({' '.join(str(error).split())})") from None
    if given.get("_class_name") != "UNet2DModel":
        raise InputError(f"{file}: of {given.get('_class_name')}, where a UNet2DModel is needed")
    own = {name: _plain(value) for name, value in dict(model.config).items() if not name.startswith("_")}
    theirs = _defaults() | {name: _plain(value) for name, value in given.items() if not name.startswith("_")}
    different = [
        f"{name} is {theirs[name]} there, {own.get(name)} by the settings"
        for name in theirs
        if name not in IRRELEVANT and theirs[name] != own.get(name)
    ]
    if different:
        raise InputError(f"{file}: does not fit the settings: {'; '.join(different)}")


def _defaults() -> dict[str, Any]:
    """What diffusers takes for a key that a config does not have."""
    parameters = inspect.signature(UNet2DModel.__init__).parameters
    return {name: _plain(parameter.default) for name, parameter in parameters.items() if name != "self"}


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _current_name(name: str) -> str:
    """Attention's layers by their names of today."""
    match = re.fullmatch(r"(.+\.attentions\.\d+)\.(\w+)\.(weight|bias)", name)
    if match is None or match[2] not in DEPRECATED:
        return name
    return f"{match[1]}.{DEPRECATED[match[2]]}.{match[3]}"
