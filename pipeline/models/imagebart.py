"""ImageBART (Esser et al. 2021): a short chain of multinomial diffusion over VQGAN indices, inverted by transformers.

p(x_{t-1} | x_t) = prod_i p(x_{t-1}^i | x_{t-1}^{<i}, x_t), a network of its own for each t: an encoder reads all of
x_t, and a decoder predicts x_{t-1} index by index in raster order. x_T is noise alone, so the last one has no
encoder. A sample starts there and ends with x_0, whose codebook entries an autoencoder decodes.

Assumed: all T networks have one width, where the authors' last one is wider; T is an index here, not a token.
"""

import torch
from torch import Tensor, nn

from pipeline.families.imagebart import ImageBART as ImageBARTSettings
from pipeline.families.imagebart import Transformer
from pipeline.models.generator import Generator
from pipeline.models.multinomial import MultinomialDiffusion
from pipeline.models.noise import noise_generators
from pipeline.models.transformer import Block, Pairs
from pipeline.settings.diffusion import Sampler

INITIAL_DEVIATION = 0.02  # of weights and embeddings, as in GPT-2


class Encoder(nn.Module):
    """All of x_t at once, (N, L) -> (N, L, d)."""

    def __init__(self, settings: Transformer, categories: int, length: int):
        super().__init__()
        self.tokens = nn.Embedding(categories, settings.width)
        self.positions = nn.Parameter(torch.randn(length, settings.width) * INITIAL_DEVIATION)
        self.blocks = nn.ModuleList(
            Block(settings.width, settings.heads, with_context=False) for _ in range(settings.encoder_layers)
        )
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, indices: Tensor) -> Tensor:
        features = self.tokens(indices) + self.positions
        for block in self.blocks:
            features = block(features)
        return self.norm(features)


class ReverseStep(nn.Module):
    """p(x_{t-1} | x_t) for one t; without an encoder where x_t holds no information."""

    def __init__(self, settings: Transformer, categories: int, length: int, with_encoder: bool):
        super().__init__()
        width, self.categories, self.length = settings.width, categories, length
        self.encoder = Encoder(settings, categories, length) if with_encoder else None
        self.tokens = nn.Embedding(categories + 1, width)  # the last one starts a sequence
        self.positions = nn.Parameter(torch.randn(length, width) * INITIAL_DEVIATION)
        # Without an encoder the decoder has its layers too.
        layers = settings.decoder_layers + (0 if with_encoder else settings.encoder_layers)
        self.blocks = nn.ModuleList(Block(width, settings.heads, with_encoder) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, categories)
        self.apply(_initialize)

    def forward(self, previous: Tensor, noisy: Tensor) -> Tensor:
        """x_{t-1} and x_t, both (N, L) -> logits (N, L, K) of each index of x_{t-1} given those before it."""
        start = torch.full_like(previous[:, :1], self.categories)
        features = self.tokens(torch.cat([start, previous[:, :-1]], dim=1)) + self.positions
        for block, context in zip(self.blocks, self._contexts(noisy), strict=True):
            features = block(features, causal=True, context=context)
        return self.head(self.norm(features))

    def sample(self, noisy: Tensor, chances: Tensor) -> Tensor:
        """x_t (N, L) and uniform numbers (N, L) -> a sample of x_{t-1} (N, L)."""
        contexts = self._contexts(noisy)
        past: list[Pairs | None] = [None] * len(self.blocks)
        token, drawn = torch.full_like(noisy[:, :1], self.categories), []
        for position in range(self.length):
            features = self.tokens(token) + self.positions[position]
            for number, (block, context) in enumerate(zip(self.blocks, contexts, strict=True)):
                features, past[number] = block.extend(features, past[number], context)
            token = draw(self.head(self.norm(features)), chances[:, position : position + 1])
            drawn.append(token)
        return torch.cat(drawn, dim=1)

    def _contexts(self, noisy: Tensor) -> list[Pairs | None]:
        """What each block of the decoder reads from the encoder."""
        if self.encoder is None:
            return [None] * len(self.blocks)
        encoded = self.encoder(noisy)
        return [block.context_attention.pairs(encoded) for block in self.blocks]


class ImageBART(Generator):
    """The chain's T networks, for codes of this shape (C_z, H_z, W_z)."""

    entries: Tensor

    def __init__(self, settings: ImageBARTSettings, shape: tuple[int, int, int]):
        super().__init__()
        settings.check_shape(shape)
        self.settings, self.shape = settings, shape
        categories, self.length = settings.codebook_size, shape[1] * shape[2]
        self.diffusion = MultinomialDiffusion(settings.steps, categories)
        self.reverse = nn.ModuleList(
            ReverseStep(settings.transformer, categories, self.length, with_encoder=t < settings.steps)
            for t in range(1, settings.steps + 1)
        )
        # The autoencoder's codebook, (K, C_z): with it a sample is codes, as of every family.
        self.register_buffer("entries", torch.zeros(categories, shape[0]))

    def codes(self, indices: Tensor) -> Tensor:
        """Indices (N, L) -> the codebook's entries (N, C_z, H_z, W_z)."""
        return self.entries[indices].transpose(1, 2).unflatten(2, self.shape[1:])

    @torch.no_grad()
    def sample(self, indices: list[int], seed: int, sampler: Sampler | None = None) -> Tensor:
        """The codes (N, C_z, H_z, W_z) with these indices, from all K entries, at temperature 1; needs no sampler."""
        steps, device = self.settings.steps, self.entries.device
        generators = noise_generators(seed, indices)
        drawn = [torch.rand(steps, self.length, generator=generator) for generator in generators]
        chances = torch.stack(drawn).to(device)
        # Where the chain starts is never read: the last network has no encoder.
        sequence = torch.zeros(len(indices), self.length, dtype=torch.long, device=device)
        for t in range(steps, 0, -1):
            sequence = self.reverse[t - 1].sample(sequence, chances[:, t - 1])
        return self.codes(sequence)


def draw(logits: Tensor, chances: Tensor) -> Tensor:
    """An index for each row of logits (..., K), by the inverse of the distribution function at `chances` (...)."""
    cumulative = logits.float().softmax(dim=-1).cumsum(dim=-1)
    return (cumulative < chances[..., None] * cumulative[..., -1:]).sum(dim=-1)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
