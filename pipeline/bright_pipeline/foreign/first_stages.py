"""First stages: VQGAN of taming-transformers, VQ and KL autoencoders of latent-diffusion, and RQ-VAE.

All four have the same network. In both halves, level i counts from the full resolution down:

    encoder.down.i.block.j, encoder.down.i.attn.j, encoder.down.i.downsample, encoder.mid.block_1|attn_1|block_2
    decoder.up.i.block.j, decoder.up.i.attn.j, decoder.up.i.upsample, decoder.mid...

Attention's four projections are 1 x 1 convolutions. diffusers counts the decoder's levels upwards and has linear
projections. Other keys (losses, discriminators, a whole LDM's UNet) are ignored.
"""

import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bright_pipeline.base.errors import InputError
from bright_pipeline.models.checkpoints import fill

WHOLE_MODEL = "first_stage_model."  # the first stage inside a checkpoint of a whole LDM
PARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.", "quantize.", "quantizer.")
RESIDUAL = {"nin_shortcut": "conv_shortcut"}
ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
MIDDLE = {"block_1": "mid_block.resnets.0", "attn_1": "mid_block.attentions.0", "block_2": "mid_block.resnets.1"}
RESTARTED = ("use.unused_images",)  # a counter of our trainings


def import_first_stage(model: Any, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill an untrained autoencoder of family vqgan, rqvae or kl with a foreign checkpoint's tensors."""
    inside = {name.removeprefix(WHOLE_MODEL): t for name, t in tensors.items() if name.startswith(WHOLE_MODEL)}
    own = {name: tensor for name, tensor in (inside or tensors).items() if name.startswith(PARTS)}
    if not own:
        raise InputError(f"{path}: no first stage: no key begins with encoder. or {WHOLE_MODEL}encoder.")
    found: dict[str, Tensor] = {}
    for name, tensor in own.items():
        if not name.startswith("quantizer."):
            new = first_stage_name(name, levels=len(model.encoder.network.down_blocks))
            linear = ".attentions." in new and tensor.ndim == 4
            found[new] = tensor[:, :, 0, 0] if linear else tensor
    found |= _residual_codebook(model, own, path)
    found |= {name: tensor for name, tensor in model.state_dict().items() if name in RESTARTED}
    fill(model, found, path)


def first_stage_name(name: str, levels: int) -> str:
    """Our name of a key; a key that matches no rule keeps its name, so that `fill` reports it as unexpected."""
    half, _, rest = name.partition(".")
    if half not in ("encoder", "decoder"):
        return {"quant_conv": "encoder.", "post_quant_conv": "decoder."}.get(half, "") + name
    network = f"{half}.network"
    if match := re.fullmatch(r"(down|up)\.(\d+)\.(block|attn)\.(\d+)\.(\w+)\.(\w+)", rest):
        way, level, kind, number, layer, which = match.groups()
        block = f"{network}.{way}_blocks.{level if way == 'down' else levels - 1 - int(level)}"
        if kind == "block":
            return f"{block}.resnets.{number}.{RESIDUAL.get(layer, layer)}.{which}"
        return f"{block}.attentions.{number}.{ATTENTION.get(layer, layer)}.{which}"
    if match := re.fullmatch(r"(down|up)\.(\d+)\.(downsample|upsample)\.conv\.(\w+)", rest):
        way, level, kind, which = match.groups()
        return f"{network}.{way}_blocks.{level if way == 'down' else levels - 1 - int(level)}.{kind}rs.0.conv.{which}"
    if match := re.fullmatch(r"mid\.(block_1|attn_1|block_2)\.(\w+)\.(\w+)", rest):
        part, layer, which = match.groups()
        renamed = ATTENTION if part == "attn_1" else RESIDUAL
        return f"{network}.{MIDDLE[part]}.{renamed.get(layer, layer)}.{which}"
    return re.sub(r"\.network\.norm_out\.", ".network.conv_norm_out.", f"{network}.{rest}")


def _residual_codebook(model: Any, tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """RQ-VAE's codebook and running sums, without the last row (padding); InputError if its depths do not share one."""
    own = {name: tensor for name, tensor in tensors.items() if name.startswith("quantizer.")}
    if not own or not hasattr(model, "quantizer"):
        return own
    first = {name.split(".", 3)[3]: t for name, t in own.items() if name.startswith("quantizer.codebooks.0.")}
    for name, tensor in own.items():
        if not torch.equal(tensor, first.get(name.split(".", 3)[-1], tensor.new_zeros(0))):
            raise InputError(f"{path}: {name} differs from the first depth's: one codebook for all depths is needed")
    if not {"weight", "cluster_size_ema", "embed_ema"} <= first.keys():
        raise InputError(f"{path}: quantizer.codebooks.0 needs weight, cluster_size_ema and embed_ema")
    depths = {name.split(".")[2] for name in own}
    if len(depths) != model.settings.codebook.depth:
        raise InputError(f"{path}: {len(depths)} depths, where codebook.depth is {model.settings.codebook.depth}")
    return {
        "quantizer.entries": first["weight"][:-1],
        "quantizer.sums": first["embed_ema"],
        "quantizer.uses": first["cluster_size_ema"],
    }
