"""Transformer blocks, pre-norm, that can remember keys and values: sampling then costs one token at a time."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Pairs = tuple[Tensor, Tensor]
"""Keys and values, each (N, heads, S, d / heads)."""


class Attention(nn.Module):
    """Multi-head attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query, self.key_value = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.output = nn.Linear(width, width)

    def pairs(self, tokens: Tensor) -> Pairs:
        """Keys and values of tokens (N, S, d)."""
        keys, values = self.key_value(tokens).chunk(2, dim=-1)
        return self._split(keys), self._split(values)

    def forward(self, tokens: Tensor, pairs: Pairs, causal: bool = False) -> Tensor:
        """What tokens (N, L, d) read from the pairs; `causal`: token i from pairs up to i."""
        read = F.scaled_dot_product_attention(self._split(self.query(tokens)), *pairs, is_causal=causal)
        return self.output(read.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """Self-attention, attention to a context where there is one, and an MLP of four times the width."""

    def __init__(self, width: int, heads: int, with_context: bool):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.context_norm = nn.LayerNorm(width) if with_context else None
        self.context_attention = Attention(width, heads) if with_context else None
        wide = 4 * width
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, tokens: Tensor, causal: bool = False, context: Pairs | None = None) -> Tensor:
        """Tokens (N, L, d) -> (N, L, d)."""
        normed = self.norm(tokens)
        return self._rest(tokens + self.attention(normed, self.attention.pairs(normed), causal), context)

    def extend(self, token: Tensor, past: Pairs | None, context: Pairs | None = None) -> tuple[Tensor, Pairs]:
        """One token (N, 1, d) behind those whose pairs are `past`: the same numbers as `forward`, causal."""
        normed = self.norm(token)
        keys, values = self.attention.pairs(normed)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        return self._rest(token + self.attention(normed, (keys, values)), context), (keys, values)

    def _rest(self, tokens: Tensor, context: Pairs | None) -> Tensor:
        if self.context_attention is not None and self.context_norm is not None:
            assert context is not None
            tokens = tokens + self.context_attention(self.context_norm(tokens), context)
        return tokens + self.mlp(tokens)
