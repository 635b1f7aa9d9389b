"""UNets of LDM and of diffusers into UNet2DModel.

LDM's UNet is `UNetModel` of latent-diffusion's openaimodel.py. Its keys count blocks through all levels: input_blocks.n
is the first convolution (n = 0), then for each level its residual blocks (`.0`, with attention in `.1`) and a
downsampling (`.0.op`). output_blocks.n has the level's upsampling (`.conv`) after its last block. Attention has one
1 x 1 convolution for queries, keys and values, whose outputs are ordered by head: the queries, keys and values of the
first head, then of the second.

A folder saved by diffusers has a UNet2DModel, alone or under `unet/` of a pipeline, such as google/ddpm-church-256. Its
config must equal the settings, key by key. Old files have other names for attention's layers.
"""

import inspect
import json
import re
from pathlib import Path
from typing import Any

from diffusers import UNet2DModel
from torch import Tensor, nn

from bright_pipeline.base.errors import InputError, readable
from bright_pipeline.foreign.files import read_tensors
from bright_pipeline.models.checkpoints import fill
from bright_pipeline.settings.diffusion import UNet

NETWORK = "model.diffusion_model."
EMA = "model_ema."
ENDS = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}
LAYERS = {  # inside a residual block or attention; `qkv` is split later
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
    "norm": "group_norm",
    "proj_out": "to_out.0",
}
MIDDLE = {"0": "resnets.0", "1": "attentions.0", "2": "resnets.1"}

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
DEPRECATED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
IRRELEVANT = ("dropout", "num_train_timesteps")  # keys that change no number: a test's or a trainer's


def import_ldm_unet(model: nn.Module, settings: UNet, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill an untrained UNet2DModel with the EMA weights of an LDM's checkpoint, which LDM samples with."""
    # Without prefix, and of the EMA if the file has one: its names have no dots.
    own = {
        name.removeprefix(NETWORK): tensors.get(EMA + name.removeprefix("model.").replace(".", ""), tensor)
        for name, tensor in tensors.items()
        if name.startswith(NETWORK)
    }
    if not own:
        raise InputError(f"{path}: no UNet: no key begins with {NETWORK}")
    # UNet2DModel lacks some parts of LDM's models of LSUN-Church and of text.
    block = "input_blocks.1.0."
    embedding, norm = own.get(f"{block}emb_layers.1.bias"), own.get(f"{block}out_layers.0.bias")
    if embedding is not None and norm is not None and len(embedding) != len(norm):
        line = "a UNet with use_scale_shift_norm, such as LDM's of LSUN-Church, can't be imported"
        raise InputError(f"{path}: {line}; give a folder or zip of its samples instead")
    if any(".transformer_blocks." in name for name in own):
        raise InputError(f"{path}: a conditional UNet (with cross attention) can't be imported")
    found: dict[str, Tensor] = {}
    for name, tensor in own.items():
        new = unet_name(name, settings.blocks)
        if ".attentions." not in new:
            found[new] = tensor
        elif ".qkv." in new:  # queries, keys and values (C, C) or (C,) of a weight (3 C, C, 1) or a bias (3 C,)
            flat = tensor.flatten(1) if tensor.ndim > 1 else tensor
            width = settings.head_width or len(flat) // 3
            if len(flat) % (3 * width):
                found[new] = tensor  # another head width: `fill` reports it as unexpected
                continue
            for number, layer in enumerate(("to_q", "to_k", "to_v")):
                heads = flat.unflatten(0, (-1, 3, width))[:, number]
                found[new.replace(".qkv.", f".{layer}.")] = heads.flatten(0, 1).contiguous()
        else:
            found[new] = tensor[:, :, 0] if tensor.ndim == 3 else tensor  # a convolution over positions
    fill(model, found, path)


def scale_factor(tensors: dict[str, Tensor]) -> float:
    """LDM's factor of codes before diffusion: 1 unless it measured the first batch (appendix G)."""
    return float(tensors["scale_factor"]) if "scale_factor" in tensors else 1.0


def unet_name(name: str, blocks: int) -> str:
    """diffusers' name of a key; a key that matches no rule keeps its name, so that `fill` reports it as unexpected."""
    stem, _, which = name.rpartition(".")
    if stem in ENDS:
        return f"{ENDS[stem]}.{which}"
    if match := re.fullmatch(r"middle_block\.([012])\.(.+)", stem):
        return f"mid_block.{MIDDLE[match[1]]}.{LAYERS.get(match[2], match[2])}.{which}"
    match = re.fullmatch(r"(input|output)_blocks\.(\d+)\.(\d)\.(.+)", stem)
    if match is None:
        return name
    way, number, part, layer = match[1], int(match[2]), match[3], match[4]
    side = "down" if way == "input" else "up"
    level, place = divmod(number - (way == "input"), blocks + 1)  # the first convolution is input block 0
    if layer in ("op", "conv"):
        return f"{side}_blocks.{level}.{side}samplers.0.conv.{which}"
    kind = "resnets" if part == "0" else "attentions"
    return f"{side}_blocks.{level}.{kind}.{place}.{LAYERS.get(layer, layer)}.{which}"


def import_unet_folder(model: UNet2DModel, folder: Path) -> None:
    """Fill an untrained UNet2DModel with a folder's weights; InputError lists the keys of its config that differ."""
    place = folder / "unet" if (folder / "unet" / "config.json").exists() else folder
    file = place / "config.json"
    with readable(f"{file}: not a readable config of diffusers"):
        given: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
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
    path = next((place / name for name in WEIGHTS if (place / name).exists()), None)
    if path is None:
        raise InputError(f"{place}: has none of {', '.join(WEIGHTS)}")
    old = re.compile(rf"(?<=\.)({'|'.join(DEPRECATED)})(?=\.(weight|bias)$)")
    tensors = {old.sub(lambda found: DEPRECATED[found[0]], name): t for name, t in read_tensors(path).items()}
    fill(model, tensors, path)
