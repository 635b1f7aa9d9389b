"""Key codes and groups of hash tables: geometry, and every strategy against the slow reference (section 3.4)."""

import itertools
import math

import pytest
import torch
from bright_pipeline.models import retrieval_separable
from bright_pipeline.models.key_noise import tile
from bright_pipeline.models.levels import make_levels
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_hash_grid import (
    assert_equal_to_1e_5,
    entry,
    geometry,
    hash_tables,
    lookup,
    make_tables,
    table_settings,
    unit_keys,
)

CONVENTIONS = ("tcnn", "ngp")


def differentiated(tables, code, upstream_seed=1):
    """Features, gradient of the tables, gradient of the code, for one fixed upstream gradient."""
    code = code.clone().requires_grad_()
    tables.tables.grad = None
    features = tables.retrieve(code)
    upstream = torch.randn(features.shape, generator=torch.Generator().manual_seed(upstream_seed))
    features.backward(upstream)
    return features.detach(), tables.tables.grad, code.grad


def slow_features(tables, code):
    """The reference: one query after the other."""
    chosen, size = tables.settings, tables.feature_size
    levels = geometry(
        chosen.resolutions, chosen.coarsest_resolution, chosen.finest_resolution,
        chosen.key_length + 2, chosen.entries_log2, chosen.convention,
    )  # fmt: skip
    unit = code.view(len(code), tables.groups, chosen.key_length, size, size)
    columns = []
    for n, group, i, j in itertools.product(range(len(code)), range(tables.groups), range(size), range(size)):
        query = torch.cat([unit[n, group, :, i, j], torch.tensor([(i + 0.5) / size, (j + 0.5) / size])])
        columns.append(lookup(tables.tables[group], query, levels, chosen.convention))
    return torch.stack(columns).view(len(code), tables.groups, size, size, -1).permute(0, 1, 4, 2, 3)


def test_resolutions_from_4_are_the_papers_and_exact_where_floats_miss():
    to_64, to_32 = (make_levels(table_settings(16, 4, finest, 3, 18, "tcnn")) for finest in (64, 32))
    assert [level.resolution for level in to_64] == [4, 5, 6, 7, 9, 11, 13, 15, 18, 22, 26, 31, 37, 45, 54, 64]
    assert [level.resolution for level in to_32] == [4, 5, 6, 7, 7, 8, 10, 11, 13, 14, 16, 19, 22, 25, 28, 32]
    assert [to_32[number].scale for number in (0, 5, 10, 15)] == [3, 7, 15, 31]


@given(
    st.integers(1, 16), st.integers(2, 20), st.integers(0, 60), st.integers(3, 4), st.integers(4, 18),
    st.sampled_from(CONVENTIONS),
)  # fmt: skip
def test_levels_follow_the_definition(resolutions, coarsest, span, dimensions, size, convention):
    finest = coarsest + span
    levels = make_levels(table_settings(resolutions, coarsest, finest, dimensions, size, convention))
    expected = geometry(resolutions, coarsest, finest, dimensions, size, convention)
    assert [(level.nodes, level.entries) for level in levels] == [found[1:] for found in expected]
    for level, (scale, _, _) in zip(levels, expected, strict=True):
        assert math.isclose(level.scale, scale, rel_tol=1e-12)
    assert [level.offset for level in levels] == [sum(e for *_, e in expected[:n]) for n in range(resolutions)]


@given(
    st.integers(2, 30), st.integers(4, 14), st.sampled_from(CONVENTIONS),
    st.lists(st.integers(0, 31), min_size=3, max_size=6),
)  # fmt: skip
def test_a_node_lies_at_the_entry_of_the_definition(resolution, size, convention, node):
    level = make_levels(table_settings(1, resolution, resolution, len(node), size, convention))[0]
    found = level.index([torch.tensor(part) for part in node])
    assert int(found) == entry(tuple(node), level.nodes, level.entries)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("size", [18, 8], ids=["dense", "hashed"])
@pytest.mark.parametrize(("retrieval", "key_length"), [("gather", 1), ("separable", 1), ("gather", 2)])
def test_every_strategy_equals_the_slow_reference(retrieval, key_length, size, convention):
    tables = make_tables(
        retrieval, key_length=key_length, size=size, convention=convention, feature_size=4 // key_length
    )
    assert any(level.hashed for level in tables.levels) == (size == 8)
    code = unit_keys(1, 2 * key_length, tables.feature_size, tables.feature_size)
    values, table_gradient, code_gradient = differentiated(tables, code)
    code.requires_grad_()
    tables.tables.grad = None
    reference = slow_features(tables, code)
    reference.backward(torch.randn(reference.shape, generator=torch.Generator().manual_seed(1)))
    assert_equal_to_1e_5(values, reference.detach())
    assert_equal_to_1e_5(table_gradient, tables.tables.grad)
    assert_equal_to_1e_5(code_gradient, code.grad)


@settings(max_examples=25)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(2, 6), st.integers(0, 12), st.sampled_from([1, 2, 4]),
    st.integers(5, 16), st.sampled_from(CONVENTIONS), st.sampled_from([1, 2, 4, 8, 16]), st.integers(0, 99),
)  # fmt: skip
def test_separable_retrieval_equals_gather(
    groups, resolutions, coarsest, span, features, size, convention, feature_size, seed
):
    pair = [
        make_tables(name, groups, 1, resolutions, coarsest, coarsest + span, features, size, convention, feature_size)
        for name in ("gather", "separable")
    ]
    code = unit_keys(2, groups, feature_size, feature_size, seed=seed)
    for one, other in zip(*(differentiated(tables, code) for tables in pair), strict=True):
        assert_equal_to_1e_5(one, other)


@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_ngp_answers_zero_outside_the_unit_interval(retrieval):
    tables = make_tables(retrieval, convention="ngp")
    code = torch.full((1, 2, 4, 4), 0.5)
    code[0, 0, 0, 0], code[0, 1, 1, 1] = 1.01, -0.01
    features = tables.retrieve(code)
    assert (features[0, 0, :, 0, 0] == 0).all()
    assert (features[0, 1, :, 1, 1] == 0).all()
    assert (features[0, 0, :, 1, 1] != 0).any()


def test_entries_start_uniform_within_1e_4_and_are_all_of_the_state():
    groups = hash_tables(2, 1, 4, 4, 16, 4, 18, "tcnn", 8)
    tables = groups.tables
    assert list(groups.state_dict()) == ["tables"]
    assert tables.abs().max() <= 1e-4
    assert math.isclose(tables.std().item(), 1e-4 / math.sqrt(3), rel_tol=0.02)


def test_frozen_tables_give_the_same_features_and_then_follow_changes_again():
    tables, code = make_tables("separable"), unit_keys(2, 2, 4, 4)
    before = tables.retrieve(code).detach()
    with tables.frozen():
        assert torch.equal(tables.retrieve(code), before)
    with torch.no_grad():
        tables.tables.mul_(2)
    torch.testing.assert_close(tables.retrieve(code), 2 * before)


@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_two_threads_give_the_same_bits_every_time(retrieval):
    tables = make_tables(retrieval, resolutions=6, finest=32, features=4, feature_size=16)
    code = unit_keys(16, 2, 16, 16)
    torch.set_num_threads(2)
    try:
        first, second = differentiated(tables, code), differentiated(tables, code)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_separable_retrieval_of_all_groups_at_once_gives_the_bits_of_one_after_the_other(monkeypatch):
    tables, code = make_tables("separable", groups=3, size=8), unit_keys(3, 3, 4, 4)
    one_by_one = differentiated(tables, code)
    asked = []
    monkeypatch.setattr(
        retrieval_separable, "groups_at_once", lambda groups, device: asked.append(groups) or [slice(0, groups)]
    )
    together = differentiated(tables, code)
    assert asked == [3]
    assert all(torch.equal(one, other) for one, other in zip(one_by_one, together, strict=True))


def test_retrieval_stays_in_float32_under_autocast():
    tables, code = make_tables("separable"), unit_keys(1, 2, 4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert tables.retrieve(code).dtype == torch.float32


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("key_length", "size"), [(1, 18), (1, 7), (2, 18)])
def test_reachable_entries_are_those_that_a_sweep_of_keys_hits(key_length, size, convention):
    tables = make_tables("gather", groups=1, key_length=key_length, resolutions=3, coarsest=3, finest=7, size=size,
                  convention=convention, feature_size=4)  # fmt: skip
    sweep = torch.linspace(0, 1, 41)
    points = torch.cartesian_prod(*[sweep] * key_length).view(-1, key_length)
    code = points[:, :, None, None].expand(-1, -1, 4, 4)
    for level in range(3):
        hit = tables.count_hits(code, level)[0] > 0
        assert torch.equal(hit, tables.reachable_entries(level))


def test_nodes_that_only_weight_zero_touches_are_not_reachable():
    # r = 5: scale 4, pixels of a 4 x 4 grid are on nodes 1 to 4; the nodes above them have weight zero
    tables = make_tables("gather", groups=1, resolutions=1, coarsest=5, finest=5, convention="ngp", feature_size=4)
    assert int(tables.reachable_entries(0).sum()) == 6 * 4 * 4


@given(st.sampled_from([1, 2, 4]), st.sampled_from([1, 2, 4]), st.integers(1, 3))
def test_tiling_repeats_each_key_along_both_axes(size, factor, channels):
    code = torch.arange(channels * size * size, dtype=torch.float32).view(1, channels, size, size)
    tiled = tile(code, size * factor)
    for i in range(size * factor):
        for j in range(size * factor):
            assert torch.equal(tiled[..., i, j], code[..., i // factor, j // factor])
