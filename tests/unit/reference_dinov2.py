"""DINOv2's vision transformer written from its papers (Dosovitskiy 2021, Touvron 2021, Oquab 2023 and others).

With the names of the published weights; every step in the open, no attention or transformer of a library.
"""

import torch
from torch import Tensor, nn

LEARNED, PATCHES, PATCH, HEAD = 37, 16, 14, 64


class Scale(nn.Module):
    """LayerScale: a factor for each channel, away from one so that a missing one shows."""

    def __init__(self, width: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.rand(width) + 0.2)

    def forward(self, tokens: Tensor) -> Tensor:
        return tokens * self.gamma


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        parts = self.qkv(tokens).reshape(count, length, 3, width // HEAD, HEAD)
        queries, keys, values = (parts[:, :, part].transpose(1, 2) for part in range(3))
        weights = (queries @ keys.transpose(2, 3) / HEAD**0.5).softmax(dim=-1)
        return self.proj((weights @ values).transpose(1, 2).reshape(count, length, width))


class Perceptron(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(tokens)))


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn, self.mlp = Attention(width), Perceptron(width)
        self.ls1, self.ls2 = Scale(width), Scale(width)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = tokens + self.ls1(self.attn(self.norm1(tokens)))
        return tokens + self.ls2(self.mlp(self.norm2(tokens)))


class Patches(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.proj = nn.Conv2d(3, width, PATCH, PATCH)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(images).flatten(2).transpose(1, 2)


class DinoV2(nn.Module):
    """Images (N, 3, 224, 224) to normalized class tokens (N, width)."""

    def __init__(self, width: int = 1024, depth: int = 24):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + LEARNED**2, width) / 2)
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = Patches(width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        learned = self.pos_embed[:, 1:].reshape(1, LEARNED, LEARNED, -1).permute(0, 3, 1, 2)
        scale = (PATCHES + 0.1) / LEARNED
        positions = nn.functional.interpolate(learned, scale_factor=(scale, scale), mode="bicubic")
        patches = self.patch_embed(images) + positions.flatten(2).transpose(1, 2)
        own = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = torch.cat([own, patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]
