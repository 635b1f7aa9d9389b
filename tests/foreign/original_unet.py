"""LDM's UNet in the structure of its original code (openaimodel.py): random weights under its keys, and a function."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from original_first_stage import Random, Weights
from torch import Tensor

# latent-diffusion, configs/latent-diffusion/ffhq-ldm-vq-4.yaml; attention_resolutions are factors of downsampling.
FFHQ: dict[str, Any] = {
    "in_channels": 3, "out_channels": 3, "model_channels": 224, "attention_resolutions": [8, 4, 2],
    "num_res_blocks": 2, "channel_mult": [1, 2, 3, 4], "num_head_channels": 32,
}  # fmt: skip


def random_unet(random: Random, config: dict[str, Any]) -> None:
    """Draw the weights of the network."""
    side = 2 ** len(config["channel_mult"])
    unet(random, config, torch.zeros(1, config["in_channels"], side, side), torch.zeros(1))


def unet(weights: Weights | Random, config: dict[str, Any], x: Tensor, timesteps: Tensor) -> Tensor:
    """The noise predicted in x (N, C, H, W) at timesteps (N,). `Random` draws each weight when it is needed."""
    ch, mult, blocks = config["model_channels"], config["channel_mult"], config["num_res_blocks"]
    found = weights.weights if isinstance(weights, Random) else weights

    def layer(name: str, h: Tensor, outputs: int, size: int = 3, dims: int = 2, **how: Any) -> Tensor:
        if isinstance(weights, Random):
            weights.conv(name, h.shape[1], outputs, size, dims)
        return (F.linear, F.conv1d, F.conv2d)[dims](h, found[f"{name}.weight"], found[f"{name}.bias"], **how)

    def norm(name: str, h: Tensor) -> Tensor:
        if isinstance(weights, Random):
            weights.norm(name, h.shape[1])
        return F.group_norm(h, 32, found[f"{name}.weight"], found[f"{name}.bias"])

    angles = timesteps[:, None].float() * torch.exp(-math.log(10000) * torch.arange(ch // 2) / (ch // 2))
    embedding = layer("time_embed.0", torch.cat([angles.cos(), angles.sin()], 1), 4 * ch, 1, 0)
    embedding = layer("time_embed.2", F.silu(embedding), 4 * ch, 1, 0)

    def residual(name: str, h: Tensor, outputs: int) -> Tensor:
        inner = layer(f"{name}.in_layers.2", F.silu(norm(f"{name}.in_layers.0", h)), outputs, padding=1)
        inner = inner + layer(f"{name}.emb_layers.1", F.silu(embedding), outputs, 1, 0)[:, :, None, None]
        inner = layer(f"{name}.out_layers.3", F.silu(norm(f"{name}.out_layers.0", inner)), outputs, padding=1)
        return inner + (h if h.shape == inner.shape else layer(f"{name}.skip_connection", h, outputs, 1))

    def attention(name: str, h: Tensor) -> Tensor:
        """Heads first, then queries, keys and values inside each head."""
        n, c, height, width = h.shape
        wide = config["num_head_channels"]
        mixed = layer(f"{name}.qkv", norm(f"{name}.norm", h).reshape(n, c, -1), 3 * c, 1, 1)
        q, k, v = mixed.reshape(n * (c // wide), 3 * wide, -1).split(wide, 1)
        scores = torch.einsum("bct,bcs->bts", q, k) / math.sqrt(wide)
        out = torch.einsum("bts,bcs->bct", scores.softmax(-1), v).reshape(n, c, -1)
        return h + layer(f"{name}.proj_out", out, c, 1, 1).reshape(n, c, height, width)

    attends = [2**level in config["attention_resolutions"] for level in range(len(mult))]
    h = layer("input_blocks.0.0", x, ch, padding=1)
    skips = [h]
    for level, multiplier in enumerate(mult):
        for _ in range(blocks):
            h = residual(f"input_blocks.{len(skips)}.0", h, ch * multiplier)
            if attends[level]:
                h = attention(f"input_blocks.{len(skips)}.1", h)
            skips.append(h)
        if level != len(mult) - 1:
            h = layer(f"input_blocks.{len(skips)}.0.op", h, h.shape[1], stride=2, padding=1)
            skips.append(h)
    h = residual("middle_block.0", h, h.shape[1])
    h = residual("middle_block.2", attention("middle_block.1", h), h.shape[1])
    for number in range(len(skips)):
        level, place = len(mult) - 1 - number // (blocks + 1), number % (blocks + 1)
        h = residual(f"output_blocks.{number}.0", torch.cat([h, skips.pop()], 1), ch * mult[level])
        if attends[level]:
            h = attention(f"output_blocks.{number}.1", h)
        if level and place == blocks:
            larger = F.interpolate(h, scale_factor=2, mode="nearest")
            h = layer(f"output_blocks.{number}.{2 if attends[level] else 1}.conv", larger, h.shape[1], padding=1)
    return layer("out.2", F.silu(norm("out.0", h)), config["out_channels"], padding=1)
