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
    """Draw the weights that the network needs for an image: encoder, decoder and the two 1 x 1 convolutions."""
    side = 2 ** len(ddconfig["ch_mult"])
    codes = encode(random, ddconfig, torch.zeros(1, ddconfig["in_channels"], side, side), embed_dim)
    decode(random, ddconfig, codes[:, :embed_dim])


def conv(weights: Weights | Random, name: str, x: Tensor, outputs: int, size: int = 3, **how: Any) -> Tensor:
    if isinstance(weights, Random):
        weights.conv(name, x.shape[1], outputs, size)
        weights = weights.weights
    return F.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], **how)


def norm(weights: Weights | Random, name: str, x: Tensor) -> Tensor:
    if isinstance(weights, Random):
        weights.norm(name, x.shape[1])
        weights = weights.weights
    return F.group_norm(x, 32, weights[f"{name}.weight"], weights[f"{name}.bias"], eps=1e-6)


def block(weights: Weights | Random, name: str, x: Tensor, outputs: int) -> Tensor:
    inner = conv(weights, f"{name}.conv1", F.silu(norm(weights, f"{name}.norm1", x)), outputs, padding=1)
    inner = conv(weights, f"{name}.conv2", F.silu(norm(weights, f"{name}.norm2", inner)), outputs, padding=1)
    return inner + (x if x.shape == inner.shape else conv(weights, f"{name}.nin_shortcut", x, outputs, 1))


def attention(weights: Weights | Random, name: str, x: Tensor) -> Tensor:
    """One head as wide as the features."""
    n, c, height, width = x.shape
    normed = norm(weights, f"{name}.norm", x)
    q, k, v = (conv(weights, f"{name}.{layer}", normed, c, 1).reshape(n, c, -1) for layer in "qkv")
    scores = torch.einsum("nci,ncj->nij", q, k) * c**-0.5
    mixed = torch.einsum("nij,ncj->nci", scores.softmax(2), v).reshape(n, c, height, width)
    return x + conv(weights, f"{name}.proj_out", mixed, c, 1)


def middle(weights: Weights | Random, half: str, x: Tensor) -> Tensor:
    x = block(weights, f"{half}.mid.block_1", x, x.shape[1])
    x = attention(weights, f"{half}.mid.attn_1", x)
    return block(weights, f"{half}.mid.block_2", x, x.shape[1])


def level(
    weights: Weights | Random, ddconfig: dict[str, Any], half: str, number: int, blocks: int, x: Tensor
) -> Tensor:
    for place in range(blocks):
        x = block(weights, f"{half}.{number}.block.{place}", x, ddconfig["ch"] * ddconfig["ch_mult"][number])
        if ddconfig["resolution"] >> number in ddconfig["attn_resolutions"]:
            x = attention(weights, f"{half}.{number}.attn.{place}", x)
    return x


def encode(weights: Weights | Random, ddconfig: dict[str, Any], images: Tensor, embed_dim: int = 0) -> Tensor:
    """The encoder and quant_conv: codes before quantization, or means and logarithms of variances."""
    moments = 2 if ddconfig["double_z"] else 1
    x = conv(weights, "encoder.conv_in", images, ddconfig["ch"], padding=1)
    for number in range(len(ddconfig["ch_mult"])):
        x = level(weights, ddconfig, "encoder.down", number, ddconfig["num_res_blocks"], x)
        if number != len(ddconfig["ch_mult"]) - 1:
            down = f"encoder.down.{number}.downsample.conv"
            x = conv(weights, down, F.pad(x, (0, 1, 0, 1)), x.shape[1], stride=2)
    x = F.silu(norm(weights, "encoder.norm_out", middle(weights, "encoder", x)))
    x = conv(weights, "encoder.conv_out", x, moments * ddconfig["z_channels"], padding=1)
    return conv(weights, "quant_conv", x, moments * embed_dim, 1)


def decode(weights: Weights | Random, ddconfig: dict[str, Any], quantized: Tensor) -> Tensor:
    """post_quant_conv and the decoder."""
    x = conv(weights, "post_quant_conv", quantized, ddconfig["z_channels"], 1)
    x = conv(weights, "decoder.conv_in", x, ddconfig["ch"] * ddconfig["ch_mult"][-1], padding=1)
    x = middle(weights, "decoder", x)
    for number in reversed(range(len(ddconfig["ch_mult"]))):
        x = level(weights, ddconfig, "decoder.up", number, ddconfig["num_res_blocks"] + 1, x)
        if number:
            larger = F.interpolate(x, scale_factor=2.0, mode="nearest")
            x = conv(weights, f"decoder.up.{number}.upsample.conv", larger, x.shape[1], padding=1)
    x = F.silu(norm(weights, "decoder.norm_out", x))
    return conv(weights, "decoder.conv_out", x, ddconfig["in_channels"], padding=1)


def nearest(entries: Tensor, codes: Tensor) -> Tensor:
    """The entries (K, C) nearest to codes (N, C, H, W), as codes."""
    vectors = codes.movedim(1, -1)
    distances = vectors.square().sum(-1, keepdim=True) + entries.square().sum(1) - 2 * vectors @ entries.T
    return entries[distances.argmin(-1)].movedim(-1, 1)
