"""DINOv2's vision transformer written from its papers (Dosovitskiy 2021, Touvron 2021, Oquab 2023 and others).

With the names of the published weights; every step in the open, no attention or transformer of a library.
"""

import torch
from torch import Tensor, nn

LEARNED, PATCHES, PATCH, HEAD = 37, 16, 14, 64


class Block(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.norm1, self.norm2 = (nn.LayerNorm(width, eps=1e-6) for _ in range(2))
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})
        # LayerScale: a factor for each channel, away from one so that a missing one shows.
        self.ls1, self.ls2 = (nn.ParameterDict({"gamma": torch.rand(width) + 0.2}) for _ in range(2))

    def forward(self, tokens: Tensor) -> Tensor:
        count, length, width = tokens.shape
        parts = self.attn["qkv"](self.norm1(tokens)).reshape(count, length, 3, width // HEAD, HEAD)
        queries, keys, values = (parts[:, :, part].transpose(1, 2) for part in range(3))
        weights = (queries @ keys.transpose(2, 3) / HEAD**0.5).softmax(dim=-1)
        attended = (weights @ values).transpose(1, 2).reshape(count, length, width)
        tokens = tokens + self.ls1["gamma"] * self.attn["proj"](attended)
        return tokens + self.ls2["gamma"] * self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(tokens))))


class DinoV2(nn.Module):
    """Images (N, 3, 224, 224) to normalized class tokens (N, width)."""

    def __init__(self, width: int = 1024, depth: int = 24):
        super().__init__()
        self.cls_token = nn.Parameter(torch.randn(1, 1, width))
        self.pos_embed = nn.Parameter(torch.randn(1, 1 + LEARNED**2, width) / 2)
        self.mask_token = nn.Parameter(torch.zeros(1, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, PATCH, PATCH)})
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor) -> Tensor:
        learned = self.pos_embed[:, 1:].reshape(1, LEARNED, LEARNED, -1).permute(0, 3, 1, 2)
        scale = (PATCHES + 0.1) / LEARNED
        positions = nn.functional.interpolate(learned, scale_factor=(scale, scale), mode="bicubic")
        patches = (self.patch_embed["proj"](images) + positions).flatten(2).transpose(1, 2)
        own = (self.cls_token + self.pos_embed[:, :1]).expand(len(images), -1, -1)
        tokens = torch.cat([own, patches], dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        return self.norm(tokens)[:, 0]
