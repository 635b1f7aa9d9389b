"""LDM's UNet (`UNetModel` of latent-diffusion's openaimodel.py) into diffusers' UNet2DModel.

Its keys count blocks through all levels: input_blocks.n is the first convolution (n = 0), then for each level its
residual blocks (`.0`, with attention in `.1`) and a downsampling (`.0.op`); output_blocks.n has the level's upsampling
(`.conv`) after its last block. Attention has one 1 x 1 convolution for queries, keys and values, whose outputs are
ordered by head: the queries, keys and values of the first head, then of the second.
"""

import re
from pathlib import Path

from torch import Tensor, nn

from pipeline.base.errors import InputError
from pipeline.models.checkpoints import fill
from pipeline.settings.diffusion import UNet

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


def import_ldm_unet(model: nn.Module, settings: UNet, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill an untrained UNet2DModel with the EMA weights of an LDM's checkpoint, which LDM samples with."""
    own = ema_weights(tensors, path)
    _check_kind(own, path)
    found: dict[str, Tensor] = {}
    for name, tensor in own.items():
        new = unet_name(name, settings.blocks)
        if ".attentions." not in new:
            found[new] = tensor
        elif ".qkv." in new:
            found |= _split_heads(new, tensor, settings.head_width)
        else:
            found[new] = tensor[:, :, 0] if tensor.ndim == 3 else tensor  # a convolution over positions
    fill(model, found, path)


def scale_factor(tensors: dict[str, Tensor]) -> float:
    """LDM's factor of codes before diffusion: 1 unless it measured the first batch (appendix G)."""
    return float(tensors["scale_factor"]) if "scale_factor" in tensors else 1.0


def ema_weights(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The UNet's tensors without prefix, of the EMA if the file has one: its names have no dots."""
    found = {}
    for name, tensor in tensors.items():
        if name.startswith(NETWORK):
            ema = EMA + name.removeprefix("model.").replace(".", "")
            found[name.removeprefix(NETWORK)] = tensors.get(ema, tensor)
    if not found:
        raise InputError(f"{path}: no UNet: no key begins with {NETWORK}")
    return found


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


def _split_heads(name: str, tensor: Tensor, head_width: int | None) -> dict[str, Tensor]:
    """Queries, keys and values (C, C) or (C,) of a weight (3 C, C, 1) or a bias (3 C,)."""
    flat = tensor.flatten(1) if tensor.ndim > 1 else tensor
    width = head_width or len(flat) // 3
    if len(flat) % (3 * width):
        return {name: tensor}  # another head width: `fill` reports it as unexpected
    by_head = flat.unflatten(0, (-1, 3, width))
    return {
        name.replace(".qkv.", f".{layer}."): by_head[:, number].flatten(0, 1).contiguous()
        for number, layer in enumerate(("to_q", "to_k", "to_v"))
    }


def _check_kind(tensors: dict[str, Tensor], path: Path) -> None:
    """InputError for LDM's models of LSUN-Church and of text: UNet2DModel lacks some of their parts."""
    block = "input_blocks.1.0."
    embedding, norm = tensors.get(f"{block}emb_layers.1.bias"), tensors.get(f"{block}out_layers.0.bias")
    if embedding is not None and norm is not None and len(embedding) != len(norm):
        raise InputError(
            f"{path}: a UNet with use_scale_shift_norm, such as LDM's of LSUN-Church, can't be imported;"
            " give a folder or zip of its samples instead"
        )
    if any(".transformer_blocks." in name for name in tensors):
        raise InputError(f"{path}: a conditional UNet (with cross attention) can't be imported")
