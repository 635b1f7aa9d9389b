"""A slow second implementation of multi-resolution hash tables from their definition, as the tests' reference."""

import itertools
import math
from collections.abc import Iterator
from decimal import Decimal, getcontext

import torch
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.settings.autoencoder import HashTables
from torch import Tensor, nn

getcontext().prec = 60
PRIMES = (1, 2654435761, 805459861, 3674653429, 2097192037, 1434869437)


def table_settings(resolutions, coarsest, finest, dimensions, size, convention, features=4, retrieval="auto"):
    """Settings of groups of hash tables whose queries have so many dimensions."""
    return HashTables(
        key_length=dimensions - 2, resolutions=resolutions, coarsest_resolution=coarsest, finest_resolution=finest,
        features_per_entry=features, entries_log2=size, convention=convention, retrieval=retrieval,
    )  # fmt: skip


def hash_tables(groups, key_length, resolutions, coarsest, finest, features, size, convention, feature_size,
                retrieval="auto"):  # fmt: skip
    """Groups of hash tables of these settings."""
    settings = table_settings(resolutions, coarsest, finest, key_length + 2, size, convention, features, retrieval)
    return HashTableGroups(settings, groups, feature_size)


def make_tables(retrieval="gather", groups=2, key_length=1, resolutions=5, coarsest=3, finest=11, features=2, size=18,
                convention="tcnn", feature_size=4):  # fmt: skip
    """Groups whose tables hold fixed numbers of order one."""
    made = hash_tables(
        groups, key_length, resolutions, coarsest, finest, features, size, convention, feature_size, retrieval
    )
    random = torch.Generator().manual_seed(7)
    with torch.no_grad():
        made.tables.copy_(torch.rand(made.tables.shape, generator=random) * 2 - 1)
    return made


def unit_keys(*shape: int, seed: int = 0) -> Tensor:
    """Keys, some of them 0 or 1."""
    code = torch.rand(*shape, generator=torch.Generator().manual_seed(seed))
    code.view(-1)[::7] = 1.0
    code.view(-1)[::11] = 0.0
    return code


def assert_equal_to_1e_5(one: Tensor, other: Tensor) -> None:
    """Within 1e-5, of the largest number where that is above one (keys' gradients sum steep slopes)."""
    torch.testing.assert_close(one, other, atol=1e-5 * max(1.0, other.abs().max().item()), rtol=0)


def geometry(
    resolutions: int, coarsest: int, finest: int, dimensions: int, entries_log2: int, convention: str
) -> list[tuple[float, int, int]]:
    """(scale, nodes per dimension, entries) of every level."""
    ratio = Decimal(finest) / Decimal(coarsest)
    levels = []
    for level in range(resolutions):
        exact = Decimal(coarsest) * ratio ** (Decimal(level) / Decimal(max(resolutions - 1, 1)))
        ceiling = int((exact - Decimal("1e-30")).to_integral_value(rounding="ROUND_CEILING"))
        nodes = ceiling if convention == "tcnn" else ceiling + 1
        entries = min(math.ceil(nodes**dimensions / 8) * 8, 2**entries_log2)
        levels.append((float(exact - 1), nodes, entries))
    return levels


def entry(node: tuple[int, ...], nodes: int, entries: int) -> int:
    """The entry of a node in its level."""
    if nodes ** len(node) <= entries:
        return sum(part * nodes**dimension for dimension, part in enumerate(node)) % entries
    value = 0
    for part, prime in zip(node, PRIMES[: len(node)], strict=True):
        value ^= part * prime % 2**32
    return value % entries


def corners(query: Tensor, level: tuple[float, int, int]) -> Iterator[tuple[int, Tensor]]:
    """The entry and the weight of each corner of a query's cell."""
    scale, nodes, entries = level
    position = query * scale + 0.5
    cell = [math.floor(part) for part in position.tolist()]
    for corner in itertools.product((0, 1), repeat=len(query)):
        node = tuple(low + step for low, step in zip(cell, corner, strict=True))
        weight = torch.ones((), dtype=query.dtype)
        for dimension, step in enumerate(corner):
            high = position[dimension] - cell[dimension]
            weight = weight * (high if step else 1 - high)
        yield entry(node, nodes, entries), weight


def lookup(row: Tensor, query: Tensor, levels: list[tuple[float, int, int]], convention: str) -> Tensor:
    """One query (D,) in one group's row of entries (all levels, C_v) -> (N_r C_v,); differentiable."""
    if convention == "ngp" and not bool(((query >= 0) & (query <= 1)).all()):
        return row.new_zeros(len(levels) * row.shape[1])
    features, offset = [], 0
    for level in levels:
        features.append(sum(weight * row[offset + index] for index, weight in corners(query, level)))
        offset += level[-1]
    return torch.cat(features)


class StandIn(nn.Module):
    """tinycudann.Encoding's signature, parameter layout (flat: level, entry, feature) and output layout."""

    def __init__(self, n_input_dims: int, encoding_config: dict, seed: int = 1337, dtype: object = None):
        super().__init__()
        assert dtype is torch.float32
        assert encoding_config["otype"] == "HashGrid"
        assert encoding_config["interpolation"] == "Linear"
        assert 2 <= n_input_dims <= 4
        count, coarsest = encoding_config["n_levels"], encoding_config["base_resolution"]
        finest = round(coarsest * encoding_config["per_level_scale"] ** (count - 1))
        size = encoding_config["log2_hashmap_size"]
        self.levels = geometry(count, coarsest, finest, n_input_dims, size, "tcnn")
        self.features = encoding_config["n_features_per_level"]
        self.inputs = n_input_dims
        entries = sum(level[2] for level in self.levels)
        generator = torch.Generator().manual_seed(seed)
        self.params = nn.Parameter((torch.rand(entries * self.features, generator=generator) * 2 - 1) * 1e-4)

    def forward(self, inputs: Tensor) -> Tensor:
        assert inputs.shape[1] == self.inputs
        row = self.params.view(-1, self.features)
        return torch.stack([lookup(row, query, self.levels, "tcnn") for query in inputs])
