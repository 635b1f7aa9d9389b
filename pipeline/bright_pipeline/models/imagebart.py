"""ImageBART (Esser et al. 2021): a short chain of multinomial diffusion over VQGAN indices, inverted by transformers.

p(x_{t-1} | x_t) = prod_i p(x_{t-1}^i | x_{t-1}^{<i}, x_t), with a separate network for each t: an encoder reads all
of x_t, and a decoder predicts x_{t-1} index by index in raster order. x_T is pure noise, so the last network has no
encoder. Sampling starts there and ends with x_0, whose codebook entries an autoencoder decodes.

Assumed: all T networks have the same width (the authors' last one is wider), and t selects a network (no token for it).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bright_pipeline.families.imagebart import ImageBART as ImageBARTSettings
from bright_pipeline.families.imagebart import Transformer
from bright_pipeline.models.execution import run
from bright_pipeline.models.generator import Generator, noise_generators
from bright_pipeline.settings.diffusion import Sampler

Pairs = tuple[Tensor, Tensor]  # keys and values, each (N, heads, S, d / heads)


class Attention(nn.Module):
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
        """Attention of tokens (N, L, d) to the pairs; `causal`: token i reads pairs up to i."""
        read = F.scaled_dot_product_attention(self._split(self.query(tokens)), *pairs, is_causal=causal)
        return self.output(read.transpose(1, 2).flatten(2))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class Block(nn.Module):
    """A pre-norm block: self-attention, attention to a context if there is one, an MLP of four times the width."""

    checkpointed = False

    def __init__(self, width: int, heads: int, with_context: bool):
        super().__init__()
        self.norm, self.attention = nn.LayerNorm(width), Attention(width, heads)
        self.context_norm = nn.LayerNorm(width) if with_context else None
        self.context_attention = Attention(width, heads) if with_context else None
        wide = 4 * width
        self.mlp = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, wide), nn.GELU(), nn.Linear(wide, width))

    def forward(self, tokens: Tensor, causal: bool = False, context: Pairs | None = None) -> Tensor:
        """Tokens (N, L, d) -> (N, L, d)."""
        return self.extend(tokens, None, context, causal)[0]

    def extend(
        self, tokens: Tensor, past: Pairs | None, context: Pairs | None = None, causal: bool = False
    ) -> tuple[Tensor, Pairs]:
        """Tokens after those with the pairs `past`, and the pairs of all: one by one the same as a causal `forward`."""
        normed = self.norm(tokens)
        keys, values = self.attention.pairs(normed)
        if past is not None:
            keys, values = torch.cat([past[0], keys], dim=2), torch.cat([past[1], values], dim=2)
        tokens = tokens + self.attention(normed, (keys, values), causal)
        if self.context_attention is not None and self.context_norm is not None:
            assert context is not None
            tokens = tokens + self.context_attention(self.context_norm(tokens), context)
        return tokens + self.mlp(tokens), (keys, values)


class MultinomialDiffusion:
    """Multinomial diffusion of codebook indices (Hoogeboom et al. 2021), in ImageBART's short chain.

    q(x_t | x_{t-1}) = Cat((1 - beta_t) x_{t-1} + beta_t / K): each index stays, or is drawn again from all K indices.
    The chain has T `steps` with beta_t = 1 / (T - t + 1), from 1 / T to 1, so the share of x_0 in x_t falls linearly,
    1 - t / T, and x_T is pure noise. These are the "geometric" betas of the authors' four-step models.
    """

    def __init__(self, steps: int, categories: int):
        self.steps, self.categories = steps, categories
        self.betas = torch.cat([torch.zeros(1), 1 / torch.arange(steps, 0, -1)])
        self.left = torch.cumprod(1 - self.betas, dim=0)  # the share of x_0 in x_t: the product of 1 - beta up to t

    def advance(self, indices: Tensor, t: int, chances: Tensor, others: Tensor) -> Tensor:
        """x_{t-1} -> x_t: `others`, uniform indices, where `chances`, uniform in [0, 1), are below beta_t."""
        return torch.where(chances < self.betas[t].item(), others, indices)

    def transition(self, indices: Tensor, t: int) -> Tensor:
        """q(x_t | x_{t-1}), (..., K), of x_{t-1} (...)."""
        return self._mixed(indices, 1 - self.betas[t].item())

    def marginal(self, indices: Tensor, t: int) -> Tensor:
        """q(x_t | x_0), (..., K), of x_0 (...)."""
        return self._mixed(indices, self.left[t].item())

    def posterior(self, noisy: Tensor, clean: Tensor, t: int) -> Tensor:
        """q(x_{t-1} | x_t, x_0), (..., K), by Bayes' rule; the transition is symmetric."""
        weights = self.transition(noisy, t) * self.marginal(clean, t - 1)
        return weights / weights.sum(dim=-1, keepdim=True)

    def _mixed(self, indices: Tensor, share: float) -> Tensor:
        return share * F.one_hot(indices, self.categories).float() + (1 - share) / self.categories


INITIAL_DEVIATION = 0.02  # of weights and embeddings, as in GPT-2


class Encoder(nn.Module):
    """Reads all of x_t at once: (N, L) -> (N, L, d)."""

    def __init__(self, settings: Transformer, categories: int, length: int):
        super().__init__()
        self.tokens = nn.Embedding(categories, settings.width)
        self.positions = nn.Parameter(torch.randn(length, settings.width) * INITIAL_DEVIATION)
        width, heads = settings.width, settings.heads
        self.blocks = nn.ModuleList(Block(width, heads, with_context=False) for _ in range(settings.encoder_layers))
        self.norm = nn.LayerNorm(settings.width)

    def forward(self, indices: Tensor) -> Tensor:
        features = self.tokens(indices) + self.positions
        for block in self.blocks:
            features = run(block, features)
        return self.norm(features)


class ReverseStep(nn.Module):
    """p(x_{t-1} | x_t) for one t; without an encoder where x_t has no information."""

    def __init__(self, settings: Transformer, categories: int, length: int, with_encoder: bool):
        super().__init__()
        width, self.categories, self.length = settings.width, categories, length
        self.encoder = Encoder(settings, categories, length) if with_encoder else None
        self.tokens = nn.Embedding(categories + 1, width)  # the last one starts a sequence
        self.positions = nn.Parameter(torch.randn(length, width) * INITIAL_DEVIATION)
        # A decoder without an encoder has the encoder's layers in addition.
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
            features = run(block, features, causal=True, context=context)
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
        """Keys and values of the encoder for each block of the decoder."""
        if self.encoder is None:
            return [None] * len(self.blocks)
        encoded = self.encoder(noisy)
        return [block.context_attention.pairs(encoded) for block in self.blocks]


class ImageBART(Generator):
    """The chain's T networks, for codes of this shape (C_z, H_z, W_z)."""

    entries: Tensor
    compiled_parts = ("reverse",)

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
        # The autoencoder's codebook (K, C_z), so that samples are codes as in every other family.
        self.register_buffer("entries", torch.zeros(categories, shape[0]))

    def codes(self, indices: Tensor) -> Tensor:
        """Indices (N, L) -> the codebook's entries (N, C_z, H_z, W_z)."""
        return self.entries[indices].transpose(1, 2).unflatten(2, self.shape[1:])

    @torch.no_grad()
    def sample(self, indices: list[int], seed: int, sampler: Sampler | None = None) -> Tensor:
        """Codes (N, C_z, H_z, W_z) from all K entries at temperature 1; it uses no sampler."""
        steps, device = self.settings.steps, self.entries.device
        drawn = [torch.rand(steps, self.length, generator=generator) for generator in noise_generators(seed, indices)]
        chances = torch.stack(drawn).to(device)
        # The values of x_T do not matter: the last network has no encoder.
        sequence = torch.zeros(len(indices), self.length, dtype=torch.long, device=device)
        for t in range(steps, 0, -1):
            sequence = self.reverse[t - 1].sample(sequence, chances[:, t - 1])
        return self.codes(sequence)


def draw(logits: Tensor, chances: Tensor) -> Tensor:
    """An index for each row of logits (..., K): the inverse distribution function at `chances` (...)."""
    cumulative = logits.float().softmax(dim=-1).cumsum(dim=-1)
    return (cumulative < chances[..., None] * cumulative[..., -1:]).sum(dim=-1)


def _initialize(module: nn.Module) -> None:
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)
