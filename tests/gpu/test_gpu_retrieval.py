"""Values and gradients of every retrieval strategy against gather's, with tables of the paper's size."""

from typing import get_args

import pytest
import torch
from bright_pipeline.models import retrieval
from bright_pipeline.models.checkpoints import pick_device
from bright_pipeline.models.hash_tables import HashTableGroups
from bright_pipeline.settings.autoencoder import HashTables
from torch import Tensor

pytestmark = pytest.mark.gpu

DEVICE = pick_device()
SIDE = 16  # of the feature block
CLOSE = {"cpu": 1e-5, "cuda": 1e-4}
"""Allowed relative differences: tiny-cuda-nn's float32 scale is 5e-5 off."""
STRATEGIES = sorted(set(get_args(HashTables.model_fields["retrieval"].annotation)) - {"auto", "gather"})


def tables_of(strategy: str, key_length: int, entries_log2: int) -> HashTableGroups:
    """Tables with this strategy; skips where it cannot run here."""
    if strategy == "separable" and key_length > 1:
        pytest.skip("separable is for C_key = 1")
    if strategy in retrieval.KERNELS and (problem := retrieval.KERNELS[strategy].unavailable(HashTables())):
        pytest.skip(problem)
    torch.manual_seed(0)
    chosen = HashTables.model_validate({"retrieval": strategy, "key_length": key_length, "entries_log2": entries_log2})
    tables = HashTableGroups(chosen, 4 // key_length, SIDE).to(DEVICE)
    used = tables.strategy(torch.rand(1, 4 // key_length, key_length, SIDE, SIDE, device=DEVICE))
    assert used.name == strategy, "the log says why"
    return tables


def retrieved(tables: HashTableGroups) -> list[Tensor]:
    """Features, and the gradients of tables and keys."""
    generator = torch.Generator().manual_seed(1)
    code = torch.rand(2, 4, SIDE, SIDE, generator=generator)
    code[0, 0, 0, :2] = torch.tensor([0.0, 1.0])
    keys = code.to(DEVICE).requires_grad_()
    features = tables.retrieve(keys)
    upstream = torch.randn(features.shape, generator=generator).to(DEVICE)
    return [features.detach(), *torch.autograd.grad(features, (tables.tables, keys), upstream)]


def difference(one: Tensor, other: Tensor) -> float:
    """The norm of the difference, relative to the second tensor."""
    return float((one - other).double().norm() / other.double().norm().clamp_min(1e-30))


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("key_length", [1, 2])
@pytest.mark.parametrize("entries_log2", [18, 12], ids=["paper", "hashed"])
def test_a_strategy_equals_gather(strategy: str, key_length: int, entries_log2: int) -> None:
    found = retrieved(tables_of(strategy, key_length, entries_log2))
    expected = retrieved(tables_of("gather", key_length, entries_log2))
    apart = [difference(one, other) for one, other in zip(found, expected, strict=True)]
    print("differences of values, gradients of tables and of keys:", *(f"{one:.1e}" for one in apart))
    assert max(apart) <= CLOSE[DEVICE.type]
