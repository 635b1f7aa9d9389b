"""LDM's UNet in the structure of its original code (openaimodel.py): random weights under its keys, and functions."""

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


def random_unet(random: Random, config: dict[str, Any], prefix: str = "") -> None:
    ch, mult, blocks = config["model_channels"], config["channel_mult"], config["num_res_blocks"]
    attends = [2**level in config["attention_resolutions"] for level in range(len(mult))]

    def dense(name: str, inputs: int, outputs: int) -> None:
        random.conv(prefix + name, inputs, outputs, 1, dims=0)

    def residual(name: str, inputs: int, outputs: int) -> None:
        random.norm(f"{prefix}{name}.in_layers.0", inputs)
        random.conv(f"{prefix}{name}.in_layers.2", inputs, outputs, 3)
        dense(f"{name}.emb_layers.1", 4 * ch, outputs)
        random.norm(f"{prefix}{name}.out_layers.0", outputs)
        random.conv(f"{prefix}{name}.out_layers.3", outputs, outputs, 3)
        if inputs != outputs:
            random.conv(f"{prefix}{name}.skip_connection", inputs, outputs, 1)

    def attention(name: str, channels: int) -> None:
        random.norm(f"{prefix}{name}.norm", channels)
        random.conv(f"{prefix}{name}.qkv", channels, 3 * channels, 1, dims=1)
        random.conv(f"{prefix}{name}.proj_out", channels, channels, 1, dims=1)

    dense("time_embed.0", ch, 4 * ch)
    dense("time_embed.2", 4 * ch, 4 * ch)
    random.conv(f"{prefix}input_blocks.0.0", config["in_channels"], ch, 3)
    skips, width, number = [ch], ch, 1
    for level, multiplier in enumerate(mult):
        for _ in range(blocks):
            residual(f"input_blocks.{number}.0", width, ch * multiplier)
            width = ch * multiplier
            if attends[level]:
                attention(f"input_blocks.{number}.1", width)
            skips.append(width)
            number += 1
        if level != len(mult) - 1:
            random.conv(f"{prefix}input_blocks.{number}.0.op", width, width, 3)
            skips.append(width)
            number += 1
    residual("middle_block.0", width, width)
    attention("middle_block.1", width)
    residual("middle_block.2", width, width)
    number = 0
    for level in reversed(range(len(mult))):
        for place in range(blocks + 1):
            residual(f"output_blocks.{number}.0", width + skips.pop(), ch * mult[level])
            width = ch * mult[level]
            if attends[level]:
                attention(f"output_blocks.{number}.1", width)
            if level and place == blocks:
                random.conv(f"{prefix}output_blocks.{number}.{2 if attends[level] else 1}.conv", width, width, 3)
            number += 1
    random.norm(f"{prefix}out.0", width)
    random.conv(f"{prefix}out.2", width, config["out_channels"], 3)


def unet(weights: Weights, config: dict[str, Any], x: Tensor, timesteps: Tensor) -> Tensor:
    """The noise predicted in x (N, C, H, W) at timesteps (N,)."""
    half = config["model_channels"] // 2
    angles = timesteps[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
    embedding = F.linear(torch.cat([angles.cos(), angles.sin()], 1), *pair(weights, "time_embed.0"))
    embedding = F.linear(F.silu(embedding), *pair(weights, "time_embed.2"))

    def norm(name: str, h: Tensor) -> Tensor:
        return F.group_norm(h, 32, *pair(weights, name))

    def residual(name: str, h: Tensor) -> Tensor:
        inner = F.conv2d(F.silu(norm(f"{name}.in_layers.0", h)), *pair(weights, f"{name}.in_layers.2"), padding=1)
        inner = inner + F.linear(F.silu(embedding), *pair(weights, f"{name}.emb_layers.1"))[:, :, None, None]
        inner = F.conv2d(F.silu(norm(f"{name}.out_layers.0", inner)), *pair(weights, f"{name}.out_layers.3"), padding=1)
        skip = f"{name}.skip_connection"
        return inner + (F.conv2d(h, *pair(weights, skip)) if f"{skip}.weight" in weights else h)

    def attention(name: str, h: Tensor) -> Tensor:
        """Heads first, then queries, keys and values inside each head."""
        n, c, height, width = h.shape
        wide = config["num_head_channels"]
        mixed = F.conv1d(norm(f"{name}.norm", h).reshape(n, c, -1), *pair(weights, f"{name}.qkv"))
        q, k, v = mixed.reshape(n * (c // wide), 3 * wide, -1).split(wide, 1)
        scores = torch.einsum("bct,bcs->bts", q, k) / math.sqrt(wide)
        out = torch.einsum("bts,bcs->bct", scores.softmax(-1), v).reshape(n, c, -1)
        return h + F.conv1d(out, *pair(weights, f"{name}.proj_out")).reshape(n, c, height, width)

    def run(block: str, h: Tensor) -> Tensor:
        for part in range(3):
            name = f"{block}.{part}"
            if f"{name}.in_layers.0.weight" in weights:
                h = residual(name, h)
            elif f"{name}.qkv.weight" in weights:
                h = attention(name, h)
            elif f"{name}.op.weight" in weights:
                h = F.conv2d(h, *pair(weights, f"{name}.op"), stride=2, padding=1)
            elif f"{name}.conv.weight" in weights:
                larger = F.interpolate(h, scale_factor=2, mode="nearest")
                h = F.conv2d(larger, *pair(weights, f"{name}.conv"), padding=1)
        return h

    def count(side: str) -> int:
        return 1 + max(int(name.split(".")[1]) for name in weights if name.startswith(f"{side}_blocks."))

    h = F.conv2d(x, *pair(weights, "input_blocks.0.0"), padding=1)
    skips = [h]
    for number in range(1, count("input")):
        h = run(f"input_blocks.{number}", h)
        skips.append(h)
    h = run("middle_block", h)
    for number in range(count("output")):
        h = run(f"output_blocks.{number}", torch.cat([h, skips.pop()], 1))
    return F.conv2d(F.silu(norm("out.0", h)), *pair(weights, "out.2"), padding=1)


def pair(weights: Weights, name: str) -> tuple[Tensor, Tensor]:
    return weights[f"{name}.weight"], weights[f"{name}.bias"]
