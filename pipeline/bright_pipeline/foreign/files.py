"""Tensors in other programs' checkpoint files, read without running code from them."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from bright_pipeline.base.errors import InputError, error_text

# Lightning stores its callbacks' states under their classes. Only the names are needed: `object` replaces each class.
NAMED_CLASSES = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "lightning.pytorch.callbacks.model_checkpoint.ModelCheckpoint",
    "main.SetupCallback",
    "main.ImageLogger",
    "main.CUDACallback",
)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The state dict in a file: safetensors, or torch's own format, bare or under Lightning's `state_dict`."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with torch.serialization.safe_globals([(object, name) for name in NAMED_CLASSES]):
            content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it names {named.group(1)}" if named else "it holds more than tensors"
        remedy = "save only its tensors: torch.save(torch.load(FILE, weights_only=False)['state_dict'], NEW_FILE)"
        raise InputError(f"{path}: loading it could run code ({what}); if you trust it, {remedy}") from None
    except Exception as error:
        raise InputError(f"{path}: not a readable checkpoint ({error_text(error)})") from None
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    if not isinstance(content, dict) or not any(isinstance(value, Tensor) for value in content.values()):
        raise InputError(f"{path}: no state dict: neither tensors by name nor a key state_dict with them")
    return {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
