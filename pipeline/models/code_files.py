"""Files of codes (count, C_z, H_z, W_z): the codes of a whole split."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipeline.base.atomic import atomic_path
from pipeline.base.errors import InputError


def write_codes(path: Path, codes: Tensor) -> None:
    """Save codes (count, C_z, H_z, W_z)."""
    with atomic_path(path) as temporary:
        save_file({"codes": codes.contiguous()}, temporary, metadata={"shape": json.dumps(list(codes.shape))})


def read_codes(path: Path) -> Tensor:
    """The codes that `write_codes` wrote."""
    try:
        with safe_open(path, framework="pt") as file:
            return file.get_tensor("codes")
    except Exception as error:
        raise InputError(f"{path}: not a file of key codes ({error}); dump them again") from None
