"""Key codes: tiling, relaxed precision, and the gradient that moves a key (Fig. 5a)."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reference_hash_grid import hash_tables

from pipeline.models.bright import perturb, tile

torch.set_num_threads(1)


@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.integers(1, 3))
def test_tiling_repeats_each_key_along_both_axes(size, factor, channels):
    code = torch.arange(channels * size * size, dtype=torch.float32).view(1, channels, size, size)
    tiled = tile(code, size * factor)
    for i in range(size * factor):
        for j in range(size * factor):
            assert torch.equal(tiled[..., i, j], code[..., i // factor, j // factor])


@given(st.integers(2, 64), st.integers(0, 99))
def test_perturbed_keys_stay_in_the_unit_interval(finest, seed):
    generator = torch.Generator().manual_seed(seed)
    code = torch.rand(2, 3, 4, 4, generator=generator)
    noise = 10 * torch.randn(code.shape, generator=generator)
    perturbed = perturb(code, finest, noise)
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1


def test_the_noise_is_a_quarter_of_the_finest_cell():
    code = torch.full((1, 1, 200, 200), 0.5)
    moved = perturb(code, 64, torch.randn(code.shape, generator=torch.Generator().manual_seed(0))) - code
    assert math.isclose(moved.std().item(), 1 / (4 * 64), rel_tol=0.02)


@pytest.mark.parametrize("convention", ["tcnn", "ngp"])
@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_a_key_moves_by_the_papers_rule(retrieval, convention):
    """Delta x of Fig. 5a in three dimensions: differences along the key's axis, weighted by the pixel's position."""
    size, levels = 4, ((3, 0), (6, 1))  # (resolution, level)
    tables = hash_tables(2, 1, 2, 3, 6, 3, 18, convention, size, retrieval)
    torch.nn.init.normal_(tables.tables)
    code = torch.rand(1, 2, size, size).requires_grad_()
    upstream = torch.randn(1, 2, 6, size, size)
    tables.retrieve(code).backward(upstream)
    for group in range(2):
        for i in range(size):
            for j in range(size):
                expected = 0.0
                for resolution, level in levels:
                    nodes, scale = resolution + (convention == "ngp"), resolution - 1
                    start = tables.levels[level].offset
                    count = tables.levels[level].entries
                    row = tables.tables[group, start : start + count].detach()
                    key, x, y = (
                        part * scale + 0.5 for part in (code[0, group, i, j].item(), (i + 0.5) / size, (j + 0.5) / size)
                    )
                    k1, x1, y1 = math.floor(key), math.floor(x), math.floor(y)
                    difference = torch.zeros(3)
                    for a, wx in ((x1, x1 + 1 - x), (x1 + 1, x - x1)):
                        for b, wy in ((y1, y1 + 1 - y), (y1 + 1, y - y1)):
                            low = k1 + nodes * a + nodes**2 * b
                            difference += wx * wy * (row[(low + 1) % count] - row[low % count])
                    grad = upstream[0, group, 3 * level : 3 * level + 3, i, j]
                    expected += scale * float((difference * grad).sum())
                assert math.isclose(code.grad[0, group, i, j], expected, rel_tol=1e-4, abs_tol=1e-4)
