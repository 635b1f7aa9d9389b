"""First stages in the structure of their original code: random weights under its keys, and plain functions on them.

`ddconfig` has the published configs' keys: ch, ch_mult, num_res_blocks, attn_resolutions, resolution, z_channels,
in_channels, double_z (taming-transformers, latent-diffusion, rq-vae-transformer: one network in all three).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Weights = dict[str, Tensor]

VQGAN_F16: dict[str, Any] = {  # taming-transformers, configs/imagenet_vqgan.yaml; 1024 x 256 entries
    "ch": 128, "ch_mult": [1, 1, 2, 2, 4], "num_res_blocks": 2, "attn_resolutions": [16], "resolution": 256,
    "z_channels": 256, "in_channels": 3, "double_z": False,
}  # fmt: skip
VQ_F4: dict[str, Any] = VQGAN_F16 | {  # latent-diffusion, FFHQ; 8192 x 3 entries
    "ch_mult": [1, 2, 4], "attn_resolutions": [], "z_channels": 3,
}  # fmt: skip
KL_F8: dict[str, Any] = VQGAN_F16 | {  # latent-diffusion, LSUN-Church
    "ch_mult": [1, 2, 4, 4], "attn_resolutions": [], "z_channels": 4, "double_z": True,
}  # fmt: skip


class Random:
    """Random weights of about the size that keeps a signal's."""

    def __init__(self, seed: int = 0):
        self.weights: Weights = {}
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.generator)

    def conv(self, name: str, inputs: int, outputs: int, size: int, dims: int = 2) -> None:
        shape = (outputs, inputs, *[size] * dims)
        self.weights[f"{name}.weight"] = self.normal(*shape) / (inputs * size**dims) ** 0.5
        self.weights[f"{name}.bias"] = 0.1 * self.normal(outputs)

    def norm(self, name: str, channels: int) -> None:
        self.weights[f"{name}.weight"] = 1 + 0.1 * self.normal(channels)
        self.weights[f"{name}.bias"] = 0.1 * self.normal(channels)


def random_network(random: Random, ddconfig: dict[str, Any], embed_dim: int) -> None:
    """Encoder, decoder and the two 1 x 1 convolutions."""
    ch, mult, blocks = ddconfig["ch"], ddconfig["ch_mult"], ddconfig["num_res_blocks"]
    z, moments, last = ddconfig["z_channels"], 2 if ddconfig["double_z"] else 1, len(mult) - 1
    sizes = [ddconfig["resolution"] >> level for level in range(len(mult))]
    top = ch * mult[-1]

    def block(name: str, inputs: int, outputs: int) -> None:
        random.norm(f"{name}.norm1", inputs)
        random.conv(f"{name}.conv1", inputs, outputs, 3)
        random.norm(f"{name}.norm2", outputs)
        random.conv(f"{name}.conv2", outputs, outputs, 3)
        if inputs != outputs:
            random.conv(f"{name}.nin_shortcut", inputs, outputs, 1)

    def attention(name: str, channels: int) -> None:
        random.norm(f"{name}.norm", channels)
        for layer in ("q", "k", "v", "proj_out"):
            random.conv(f"{name}.{layer}", channels, channels, 1)

    def middle(half: str) -> None:
        block(f"{half}.mid.block_1", top, top)
        attention(f"{half}.mid.attn_1", top)
        block(f"{half}.mid.block_2", top, top)

    def levels(half: str, way: str, order: list[int], count: int, inputs: int) -> int:
        for level in order:
            for number in range(count):
                block(f"{half}.{way}.{level}.block.{number}", inputs, ch * mult[level])
                inputs = ch * mult[level]
                if sizes[level] in ddconfig["attn_resolutions"]:
                    attention(f"{half}.{way}.{level}.attn.{number}", inputs)
            if level != order[-1]:
                random.conv(f"{half}.{way}.{level}.{way}sample.conv", inputs, inputs, 3)
        return inputs

    random.conv("encoder.conv_in", ddconfig["in_channels"], ch, 3)
    levels("encoder", "down", list(range(last + 1)), blocks, ch)
    middle("encoder")
    random.norm("encoder.norm_out", top)
    random.conv("encoder.conv_out", top, moments * z, 3)
    random.conv("decoder.conv_in", z, top, 3)
    middle("decoder")
    width = levels("decoder", "up", list(reversed(range(last + 1))), blocks + 1, top)
    random.norm("decoder.norm_out", width)
    random.conv("decoder.conv_out", width, ddconfig["in_channels"], 3)
    random.conv("quant_conv", moments * z, moments * embed_dim, 1)
    random.conv("post_quant_conv", embed_dim, z, 1)


def conv(weights: Weights, name: str, x: Tensor, **how: Any) -> Tensor:
    return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how)


def swish_norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    x = norm(weights, name, x)
    return x * torch.sigmoid(x)


def norm(weights: Weights, name: str, x: Tensor) -> Tensor:
    return F.group_norm(x, 32, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-6)


def block(weights: Weights, name: str, x: Tensor) -> Tensor:
    inner = conv(weights, f"{name}.conv1", swish_norm(weights, f"{name}.norm1", x), padding=1)
    inner = conv(weights, f"{name}.conv2", swish_norm(weights, f"{name}.norm2", inner), padding=1)
    shortcut = f"{name}.nin_shortcut"
    return inner + (conv(weights, shortcut, x) if f"{shortcut}.weight" in weights else x)


def attention(weights: Weights, name: str, x: Tensor) -> Tensor:
    """One head as wide as the features."""
    n, c, height, width = x.shape
    normed = norm(weights, f"{name}.norm", x)
    q, k, v = (conv(weights, f"{name}.{layer}", normed).reshape(n, c, -1) for layer in "qkv")
    scores = torch.einsum("nci,ncj->nij", q, k) * c**-0.5
    mixed = torch.einsum("nij,ncj->nci", scores.softmax(2), v).reshape(n, c, height, width)
    return x + conv(weights, f"{name}.proj_out", mixed)


def middle(weights: Weights, half: str, x: Tensor) -> Tensor:
    x = block(weights, f"{half}.mid.block_1", x)
    x = attention(weights, f"{half}.mid.attn_1", x)
    return block(weights, f"{half}.mid.block_2", x)


def level(weights: Weights, name: str, count: int, x: Tensor) -> Tensor:
    for number in range(count):
        x = block(weights, f"{name}.block.{number}", x)
        if f"{name}.attn.{number}.norm.weight" in weights:
            x = attention(weights, f"{name}.attn.{number}", x)
    return x


def encode(weights: Weights, ddconfig: dict[str, Any], images: Tensor) -> Tensor:
    """The encoder and quant_conv: codes before quantization, or means and logarithms of variances."""
    x = conv(weights, "encoder.conv_in", images, padding=1)
    for number in range(len(ddconfig["ch_mult"])):
        x = level(weights, f"encoder.down.{number}", ddconfig["num_res_blocks"], x)
        if number != len(ddconfig["ch_mult"]) - 1:
            x = conv(weights, f"encoder.down.{number}.downsample.conv", F.pad(x, (0, 1, 0, 1)), stride=2)
    x = swish_norm(weights, "encoder.norm_out", middle(weights, "encoder", x))
    return conv(weights, "quant_conv", conv(weights, "encoder.conv_out", x, padding=1))


def decode(weights: Weights, ddconfig: dict[str, Any], quantized: Tensor) -> Tensor:
    """post_quant_conv and the decoder."""
    x = conv(weights, "decoder.conv_in", conv(weights, "post_quant_conv", quantized), padding=1)
    x = middle(weights, "decoder", x)
    for number in reversed(range(len(ddconfig["ch_mult"]))):
        x = level(weights, f"decoder.up.{number}", ddconfig["num_res_blocks"] + 1, x)
        if number:
            larger = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = conv(weights, f"decoder.up.{number}.upsample.conv", larger, padding=1)
    return conv(weights, "decoder.conv_out", swish_norm(weights, "decoder.norm_out", x), padding=1)


def nearest(entries: Tensor, codes: Tensor) -> Tensor:
    """The entries (K, C) nearest to codes (N, C, H, W), as codes."""
    vectors = codes.movedim(1, -1)
    distances = vectors.square().sum(-1, keepdim=True) + entries.square().sum(1) - 2 * vectors @ entries.T
    return entries[distances.argmin(-1)].movedim(-1, 1)
