"""Groups of hash tables: geometry, and that every strategy reads what the definition says."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_hash_grid import entry, geometry, hash_tables, lookup, table_settings

from pipeline.models import retrieval_separable
from pipeline.models.levels import make_levels

torch.set_num_threads(1)

CONVENTIONS = ("tcnn", "ngp")


def make(retrieval="gather", groups=2, key_length=1, resolutions=5, coarsest=3, finest=11, features=2,
         size=18, convention="tcnn", feature_size=4):  # fmt: skip
    """Groups whose tables hold numbers of order one."""
    generator = torch.Generator().manual_seed(7)
    groups_of_tables = hash_tables(
        groups, key_length, resolutions, coarsest, finest, features, size, convention, feature_size, retrieval
    )
    with torch.no_grad():
        groups_of_tables.tables.copy_(torch.rand(groups_of_tables.tables.shape, generator=generator) * 2 - 1)
    return groups_of_tables


def keys(batch, channels, feature_size, seed=0):
    """Keys of which some lie on both ends of [0, 1]."""
    code = torch.rand(batch, channels, feature_size, feature_size, generator=torch.Generator().manual_seed(seed))
    code.view(-1)[::7] = 1.0
    code.view(-1)[::11] = 0.0
    return code


def differentiated(tables, code, upstream_seed=1):
    """Features, gradient of the tables, gradient of the code, for one fixed upstream gradient."""
    code = code.clone().requires_grad_()
    tables.tables.grad = None
    features = tables.retrieve(code)
    upstream = torch.randn(features.shape, generator=torch.Generator().manual_seed(upstream_seed))
    features.backward(upstream)
    return features.detach(), tables.tables.grad, code.grad


def assert_equal_to_1e_5(one, other):
    """Within 1e-5, of the largest number where that is above one (keys' gradients sum steep slopes)."""
    torch.testing.assert_close(one, other, atol=1e-5 * max(1.0, other.abs().max().item()), rtol=0)


def slow_features(tables, code):
    """The reference: one query after the other."""
    size = tables.feature_size
    levels = geometry(
        len(tables.levels), tables.levels[0].resolution, tables.levels[-1].resolution,
        tables.settings.key_length + 2, tables.settings.entries_log2, tables.settings.convention,
    )  # fmt: skip
    batch = len(code)
    output = torch.zeros(batch, tables.groups, len(levels) * tables.tables.shape[-1], size, size)
    unit_keys = code.view(batch, tables.groups, tables.settings.key_length, size, size)
    columns = []
    for n in range(batch):
        for group in range(tables.groups):
            for i in range(size):
                for j in range(size):
                    pixel = torch.tensor([(i + 0.5) / size, (j + 0.5) / size])
                    query = torch.cat([unit_keys[n, group, :, i, j], pixel])
                    columns.append(lookup(tables.tables[group], query, levels, tables.settings.convention))
    stacked = torch.stack(columns).view(batch, tables.groups, size, size, -1)
    return output + stacked.permute(0, 1, 4, 2, 3)


def test_levels_of_the_paper() -> None:
    """The resolutions, exact also where floats miss; the last level is hashed under ngp alone."""
    levels = make_levels(table_settings(16, 4, 64, 3, 18, "tcnn"))
    exact = [4, 5, 6, 7, 9, 11, 13, 15, 18, 22, 26, 31, 37, 45, 54, 64]
    assert [level.resolution for level in levels] == exact
    levels = make_levels(table_settings(16, 4, 32, 3, 18, "tcnn"))
    exact = [4, 5, 6, 7, 7, 8, 10, 11, 13, 14, 16, 19, 22, 25, 28, 32]
    assert [level.resolution for level in levels] == exact
    assert [levels[number].scale for number in (0, 5, 10, 15)] == [3, 7, 15, 31]
    assert make_levels(table_settings(16, 4, 64, 3, 18, "ngp"))[-1].hashed
    assert not make_levels(table_settings(16, 4, 64, 3, 18, "tcnn"))[-1].hashed


def test_45_of_1024_pixel_levels_read_past_their_row_under_tcnn_and_none_under_ngp() -> None:
    past = 0
    for level in make_levels(table_settings(16, 4, 64, 3, 18, "tcnn")):
        cell, _ = level.pixel_cells(8)
        beyond = cell + 1 >= level.nodes
        past += int((beyond[:, None] | beyond[None, :]).sum())
    assert past == 45
    for level in make_levels(table_settings(16, 4, 64, 3, 18, "ngp")):
        assert level.cells < level.nodes


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
    st.integers(2, 30),
    st.integers(4, 14),
    st.sampled_from(CONVENTIONS),
    st.lists(st.integers(0, 31), min_size=3, max_size=4),
)
def test_a_node_lies_at_the_entry_of_the_definition(resolution, size, convention, node):
    level = make_levels(table_settings(1, resolution, resolution, len(node), size, convention))[0]
    found = level.index([torch.tensor(part) for part in node])
    assert int(found) == entry(tuple(node), level.nodes, level.entries)


@pytest.mark.parametrize("key_length", [1, 2, 3, 4])
def test_every_coordinate_moves_the_entry_of_a_hashed_level(key_length):
    level = make_levels(table_settings(1, 9, 9, key_length + 2, 8, "tcnn"))[0]
    assert level.hashed
    for dimension in range(level.dimensions):
        nodes = [torch.arange(9) if number == dimension else torch.tensor(0) for number in range(level.dimensions)]
        assert len(level.index(nodes).unique()) > 5


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("size", [18, 8], ids=["dense", "hashed"])
@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_every_strategy_equals_the_slow_reference(retrieval, size, convention):
    tables = make(retrieval, size=size, convention=convention)
    assert any(level.hashed for level in tables.levels) == (size == 8)
    code = keys(1, 2, 4)
    values, table_gradient, code_gradient = differentiated(tables, code)
    code.requires_grad_()
    tables.tables.grad = None
    reference = slow_features(tables, code)
    reference.backward(torch.randn(reference.shape, generator=torch.Generator().manual_seed(1)))
    assert_equal_to_1e_5(values, reference.detach())
    assert_equal_to_1e_5(table_gradient, tables.tables.grad)
    assert_equal_to_1e_5(code_gradient, code.grad)


@pytest.mark.parametrize("convention", CONVENTIONS)
def test_gather_of_longer_keys_equals_the_slow_reference(convention):
    tables = make(key_length=2, groups=1, resolutions=3, finest=7, convention=convention, size=9, feature_size=2)
    code = keys(2, 2, 2)
    torch.testing.assert_close(tables.retrieve(code), slow_features(tables, code), atol=1e-5, rtol=0)


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("size", [18, 10], ids=["dense", "hashed"])
def test_separable_retrieval_equals_gather(size, convention):
    gather = make("gather", groups=3, resolutions=8, coarsest=4, finest=32, features=4, size=size,
                  convention=convention, feature_size=16)  # fmt: skip
    separable = make("separable", groups=3, resolutions=8, coarsest=4, finest=32, features=4, size=size,
                     convention=convention, feature_size=16)  # fmt: skip
    assert any(level.hashed for level in gather.levels) == (size == 10)
    code = keys(3, 3, 16)
    for one, other in zip(differentiated(gather, code), differentiated(separable, code), strict=True):
        assert_equal_to_1e_5(one, other)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 4), st.integers(2, 6), st.integers(0, 12), st.sampled_from([1, 2, 4]),
    st.integers(5, 14), st.sampled_from(CONVENTIONS), st.sampled_from([1, 2, 4, 8]), st.integers(0, 99),
)  # fmt: skip
def test_separable_equals_gather_for_any_geometry(
    groups, resolutions, coarsest, span, features, size, convention, feature_size, seed
):
    pair = [
        make(name, groups, 1, resolutions, coarsest, coarsest + span, features, size, convention, feature_size)
        for name in ("gather", "separable")
    ]
    code = keys(2, groups, feature_size, seed)
    for one, other in zip(*(differentiated(tables, code) for tables in pair), strict=True):
        assert_equal_to_1e_5(one, other)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(["gather", "separable"]), st.floats(-3, 3), st.integers(0, 99))
def test_retrieval_is_linear_in_the_tables(retrieval, factor, seed):
    one, other, mixed = make(retrieval), make(retrieval), make(retrieval)
    with torch.no_grad():
        other.tables.copy_(torch.randn(other.tables.shape, generator=torch.Generator().manual_seed(seed)))
        mixed.tables.copy_(one.tables + factor * other.tables)
        code = keys(1, 2, 4, seed)
        expected = one.retrieve(code) + factor * other.retrieve(code)
        torch.testing.assert_close(mixed.retrieve(code), expected, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_constant_tables_give_their_constant(retrieval):
    tables = make(retrieval, convention="ngp")
    torch.nn.init.constant_(tables.tables, 0.75)
    features = tables.retrieve(keys(2, 2, 4))
    torch.testing.assert_close(features, torch.full_like(features, 0.75))


@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_ngp_answers_zero_outside_the_unit_interval(retrieval):
    tables = make(retrieval, convention="ngp")
    code = torch.full((1, 2, 4, 4), 0.5)
    code[0, 0, 0, 0], code[0, 1, 1, 1] = 1.01, -0.01
    features = tables.retrieve(code)
    assert (features[0, 0, :, 0, 0] == 0).all()
    assert (features[0, 1, :, 1, 1] == 0).all()
    assert (features[0, 0, :, 1, 1] != 0).any()


def test_weights_move_between_strategies():
    gather, separable = make("gather"), make("separable")
    torch.nn.init.normal_(separable.tables)
    assert list(separable.state_dict()) == ["tables"]
    gather.load_state_dict(separable.state_dict())
    code = keys(2, 2, 4)
    torch.testing.assert_close(gather.retrieve(code), separable.retrieve(code), atol=1e-5, rtol=0)


def test_entries_start_uniform_within_1e_4():
    tables = hash_tables(2, 1, 4, 4, 16, 4, 18, "tcnn", 8).tables
    assert tables.abs().max() <= 1e-4
    assert math.isclose(tables.std().item(), 1e-4 / math.sqrt(3), rel_tol=0.02)


def test_auto_is_separable_for_unit_keys_of_length_one_else_gather(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for key_length, name in ((1, "separable"), (2, "gather")):
        tables = make("auto", key_length=key_length)
        assert tables.strategy(torch.rand(1, 2, key_length, 4, 4)).name == name


def test_frozen_tables_give_the_same_features_and_then_follow_changes_again():
    tables, code = make("separable"), keys(2, 2, 4)
    before = tables.retrieve(code).detach()
    with tables.frozen():
        assert torch.equal(tables.retrieve(code), before)
    with torch.no_grad():
        tables.tables.mul_(2)
    torch.testing.assert_close(tables.retrieve(code), 2 * before)


@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_two_threads_give_the_same_bits_every_time(retrieval):
    tables = make(retrieval, resolutions=6, finest=32, features=4, feature_size=16)
    code = keys(16, 2, 16)
    torch.set_num_threads(2)
    try:
        first, second = differentiated(tables, code), differentiated(tables, code)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_separable_retrieval_of_all_groups_at_once_gives_the_bits_of_one_after_the_other(monkeypatch):
    tables, code = make("separable", groups=3, size=8), keys(3, 3, 4)
    one_by_one = differentiated(tables, code)
    asked = []
    monkeypatch.setattr(
        retrieval_separable, "groups_at_once", lambda groups, device: asked.append(groups) or [slice(0, groups)]
    )
    together = differentiated(tables, code)
    assert asked == [3]
    assert all(torch.equal(one, other) for one, other in zip(one_by_one, together, strict=True))


@pytest.mark.parametrize("retrieval", ["gather", "separable"])
def test_an_image_does_not_depend_on_the_others_of_its_batch(retrieval):
    tables, code = make(retrieval), keys(5, 2, 4)
    together = tables.retrieve(code)
    for n in range(5):
        assert torch.equal(together[n : n + 1], tables.retrieve(code[n : n + 1]))


def test_retrieval_stays_in_float32_under_autocast():
    tables, code = make("separable"), keys(1, 2, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(tables.retrieve(code), tables.retrieve(code).float())
        assert tables.retrieve(code).dtype == torch.float32


def slow_hits(tables, code, level):
    """Entries with a weight above zero, counted corner by corner."""
    size, found = tables.feature_size, tables.levels[level]
    hits = torch.zeros(tables.groups, found.entries, dtype=torch.int64)
    unit_keys = code.view(len(code), tables.groups, tables.settings.key_length, size, size)
    row = torch.zeros(found.entries, 1, requires_grad=True)
    geometry_of_level = [(found.scale, found.nodes, found.entries)]
    for n in range(len(code)):
        for group in range(tables.groups):
            for i in range(size):
                for j in range(size):
                    pixel = torch.tensor([(i + 0.5) / size, (j + 0.5) / size], dtype=torch.float64)
                    query = torch.cat([unit_keys[n, group, :, i, j].double(), pixel])
                    (weights,) = torch.autograd.grad(lookup(row, query, geometry_of_level, "tcnn"), row)
                    hits[group] += weights[:, 0] > 1e-9
    return hits


@pytest.mark.parametrize("key_length", [1, 2])
def test_hits_are_the_entries_with_weight_above_zero(key_length):
    # levels are dense here, so that no two corners of a query share an entry
    tables = make("gather", groups=1, key_length=key_length, resolutions=2, coarsest=4, finest=6, feature_size=4)
    code = keys(2, key_length, 4)
    for level in range(2):
        assert torch.equal(tables.count_hits(code, level), slow_hits(tables, code, level))


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize(("key_length", "size"), [(1, 18), (1, 7), (2, 18)])
def test_reachable_entries_are_those_that_a_sweep_of_keys_hits(key_length, size, convention):
    tables = make("gather", groups=1, key_length=key_length, resolutions=3, coarsest=3, finest=7, size=size,
                  convention=convention, feature_size=4)  # fmt: skip
    sweep = torch.linspace(0, 1, 41)
    points = torch.cartesian_prod(*[sweep] * key_length).view(-1, key_length)
    code = points[:, :, None, None].expand(-1, -1, 4, 4)
    for level in range(3):
        hit = tables.count_hits(code, level)[0] > 0
        assert torch.equal(hit, tables.reachable_entries(level))


def test_nodes_that_only_weight_zero_touches_are_not_reachable():
    # r = 5: scale 4, pixels of a 4 x 4 grid lie on nodes 1 to 4; the nodes above them have weight zero
    tables = make("gather", groups=1, resolutions=1, coarsest=5, finest=5, convention="ngp", feature_size=4)
    assert int(tables.reachable_entries(0).sum()) == 6 * 4 * 4
