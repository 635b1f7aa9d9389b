"""Folders saved by diffusers: a UNet2DModel, alone or under `unet/` of a pipeline, such as google/ddpm-church-256.

The folder's config must equal the settings, key by key. Old files have other names for attention's layers.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from diffusers import UNet2DModel

from pipeline.base.errors import InputError
from pipeline.foreign.files import read_tensors
from pipeline.models.checkpoints import fill

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
DEPRECATED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
IRRELEVANT = ("dropout", "num_train_timesteps")  # keys that change no number: a test's or a trainer's


def import_unet_folder(model: UNet2DModel, folder: Path) -> None:
    """Fill an untrained UNet2DModel with a folder's weights; InputError lists the keys of its config that differ."""
    place = folder / "unet" if (folder / "unet" / "config.json").exists() else folder
    _check_config(model, place / "config.json")
    path = next((place / name for name in WEIGHTS if (place / name).exists()), None)
    if path is None:
        raise InputError(f"{place}: has none of {', '.join(WEIGHTS)}")
    old = re.compile(rf"(?<=\.)({'|'.join(DEPRECATED)})(?=\.(weight|bias)$)")
    tensors = {old.sub(lambda found: DEPRECATED[found[0]], name): t for name, t in read_tensors(path).items()}
    fill(model, tensors, path)


def _check_config(model: UNet2DModel, file: Path) -> None:
    """Compare the folder's architecture with that of the settings."""
    try:
        given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{file}: not a readable config of diffusers ({' '.join(str(error).split())})") from None
    if given.get("_class_name") != "UNet2DModel":
        raise InputError(f"{file}: of {given.get('_class_name')}, where a UNet2DModel is needed")
    parameters = inspect.signature(UNet2DModel.__init__).parameters.values()
    defaults = {parameter.name: parameter.default for parameter in parameters if parameter.name != "self"}
    own, theirs = (json.loads(json.dumps(config)) for config in (dict(model.config), defaults | given))  # no tuples
    different = [
        f"{name} is {theirs[name]} there, {own.get(name)} by the settings"
        for name in theirs
        if name not in IRRELEVANT and not name.startswith("_") and theirs[name] != own.get(name)
    ]
    if different:
        raise InputError(f"{file}: does not fit the settings: {'; '.join(different)}")
