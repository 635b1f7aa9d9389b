"""The choice of a GPU's retrieval strategy, with stand-ins for kernels, on the CPU."""

import sys
from types import ModuleType

import pytest
import torch
from bright_pipeline.base.progress import logger
from bright_pipeline.models import retrieval
from bright_pipeline.models.levels import GatherRetrieval, make_levels
from bright_pipeline.models.retrieval import (
    KERNELS,
    Kernels,
    choose,
    comparison_levels,
    differentiated,
    tinycudann_nodes,
    without_tinycudann,
)
from reference_hash_grid import StandIn, hash_tables, make_tables, table_settings


def kernel(compute=lambda gather, tables, code: gather(tables, code)):
    """A strategy in place of the kernels; compute: from gather's own function, tables and code."""

    class Kernel(GatherRetrieval):
        name = "triton"

        def __call__(self, tables, code):
            return compute(super().__call__, tables, code)

    return Kernel


def no_compiler(gather, tables, code):
    raise RuntimeError("Failed to find C compiler.\nPlease specify it.")


def without_entries_above_65536(gather, tables, code):
    levels, parts, first = gather.__self__.levels, [], 0
    for level in levels:
        parts.append(tables[:, first : first + level.entries] * (torch.arange(level.entries) < 2**16)[:, None])
        first += level.entries
    return gather(torch.cat(parts, 1), code)


WRONG = [
    (lambda gather, tables, code: gather(tables, code) * 1.001, "its features differ"),
    (lambda gather, tables, code: gather(tables, code) * torch.nan, "its features differ from gather's by up to nan"),
    (without_entries_above_65536, "its features differ"),
    (
        lambda gather, tables, code: gather(tables, code) + (tables - tables.detach()).sum(),
        "its tables' gradient differ",
    ),
    (lambda gather, tables, code: gather(tables, code.detach()) + 0 * code.sum(), "its keys' gradient differ"),
    (no_compiler, "it does not run here (RuntimeError: Failed to find C compiler.)"),
]


@pytest.fixture
def lines(monkeypatch):
    """The lines of the stage's log."""
    found = []
    monkeypatch.setattr(logger, "info", lambda line, *words: found.append(line % words))
    monkeypatch.setattr(logger, "warning", logger.info)
    return found


def chosen(monkeypatch, strategy, asked="triton", problem=None, key_length=1):
    """The strategy for keys of a machine whose only kernels are this strategy."""
    kernels = Kernels(lambda settings: problem, lambda levels, settings, size: strategy(levels, size), True)
    monkeypatch.setattr(retrieval, "KERNELS", {"triton": kernels})
    tables = hash_tables(2, key_length, 4, 3, 20, 2, 10, "tcnn", 4, asked)
    return choose(tables.settings, tables.fallback, 4, torch.device("cpu")).name


@pytest.mark.parametrize(("asked", "key_length"), [("triton", 1), ("auto", 2)])
def test_kernels_that_agree_with_gather_are_used(monkeypatch, lines, key_length, asked):
    assert chosen(monkeypatch, kernel(), asked, key_length=key_length) == "triton"
    assert lines == []


@pytest.mark.parametrize(("compute", "line"), WRONG)
def test_kernels_that_differ_from_gather_are_replaced_with_one_line(monkeypatch, lines, compute, line):
    assert chosen(monkeypatch, kernel(compute), "auto") == "separable"
    assert len(lines) == 1 and lines[0].startswith(f"retrieval: separable in place of triton: {line}")


def test_kernels_that_cannot_run_are_named_where_they_are_asked_for(monkeypatch, lines):
    assert chosen(monkeypatch, kernel(), "auto", "no card") == "separable"
    assert lines == []
    assert chosen(monkeypatch, kernel(), "triton", "no card", key_length=2) == "gather"
    assert lines == ["retrieval: gather in place of triton: no card"]
    for asked in ("gather", "separable"):  # torch's own strategies are used on every device
        assert chosen(monkeypatch, kernel(no_compiler), asked) == asked
    assert len(lines) == 1


@pytest.mark.parametrize(
    ("convention", "key_length", "entries"), [("tcnn", 1, 64**3), ("ngp", 1, 64**3), ("tcnn", 2, 22**4)]
)
def test_the_comparison_has_hashed_levels_and_the_largest_dense_one(convention, key_length, entries):
    *small, dense = comparison_levels(hash_tables(2, key_length, 4, 3, 20, 2, 18, convention, 4).settings)
    assert any(level.hashed for level in small)
    assert (dense.hashed, dense.entries, dense.offset) == (False, entries, sum(level.entries for level in small))


def test_the_comparison_leaves_the_training_s_random_numbers_alone(monkeypatch):
    before = torch.get_rng_state()
    tables = hash_tables(2, 1, 2, 3, 5, 2, 10, "tcnn", 4)
    kernels = Kernels(lambda settings: None, lambda levels, settings, size: kernel()(levels, size), True)
    torch.set_rng_state(before)
    assert retrieval.difference(kernels, tables.settings, 4, torch.device("cpu")) is None
    assert torch.equal(torch.get_rng_state(), before)


# The adapter to tiny-cuda-nn, with a stand-in that has the package's signature and parameter layout.


def of_package(tables):
    """The adapter for these tables."""
    return KERNELS["tinycudann"].make(tables.levels, tables.settings, tables.feature_size)


def with_package(retrieval, **geometry):
    """The strategy chosen for keys of a GPU, which are on the CPU here."""
    tables = make_tables(retrieval, finest=12, **geometry)
    return choose(tables.settings, tables.fallback, tables.feature_size, torch.device("cpu")).name


@pytest.fixture
def package(monkeypatch):
    """A machine that seems to have CUDA and the package."""
    module = ModuleType("tinycudann")
    module.Encoding = StandIn  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tinycudann", module)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return module


@pytest.mark.parametrize("key_length", [1, 2])
@pytest.mark.parametrize("size", [18, 7], ids=["dense", "hashed"])
def test_the_adapter_passes_our_tables_as_the_packages_parameters(package, size, key_length):
    groups = make_tables("gather", key_length=key_length, size=size, feature_size=2)
    tables, code = torch.randn(groups.tables.shape), torch.rand(2, 2, key_length, 2, 2)
    results = [differentiated(strategy, tables, code) for strategy in (of_package(groups), groups.fallback)]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_package_is_taken_where_it_can_run(package, lines):
    tables = make_tables("tinycudann")
    tables.strategies[torch.device("cpu")] = of_package(tables)
    assert list(tables.state_dict()) == [name for name, _ in tables.named_parameters()] == ["tables"]
    assert with_package("tinycudann") == "tinycudann"
    assert lines == []
    assert with_package("tinycudann", convention="ngp") == "separable"
    assert with_package("tinycudann", features=3) == "separable"
    assert with_package("tinycudann", key_length=3) == "gather"
    assert [line.partition(":")[0] for line in lines] == ["retrieval"] * 3


# What the package's own functions compute, compiled for a CPU: nodes by level, where they are not those of its formula.
NODES = {
    (4, 64): {}, (4, 32): {}, (8, 64): {}, (16, 128): {}, (16, 256): {},
    (16, 64): {15: 65}, (4, 16): {15: 17}, (16, 32): {15: 33},
    (4, 128): {3: 9, 6: 17, 9: 33, 12: 65, 15: 129}, (4, 256): {5: 17, 10: 65, 15: 257},
}  # fmt: skip


@pytest.mark.parametrize("entries_log2", [18, 22])
@pytest.mark.parametrize("ends", NODES)
def test_the_package_is_refused_where_it_rounds_to_other_nodes(package, ends, entries_log2):
    settings = table_settings(16, *ends, 3, entries_log2, "tcnn")
    levels = make_levels(settings)
    pairs = zip(tinycudann_nodes(levels), levels, strict=True)
    other = {number: nodes for number, (nodes, level) in enumerate(pairs) if nodes != level.nodes}
    dense = [number for number in other if not levels[number].hashed]
    line = "rounding in float32, it has {} nodes at level {}, which has {}"
    first = [line.format(other[number], number, levels[number].nodes) for number in dense[:1]]
    assert other == NODES[ends]
    assert without_tinycudann(settings) == (first[0] if first else None)


def test_the_package_is_refused_where_its_card_may_round_to_other_nodes(package):
    assert without_tinycudann(table_settings(16, 16, 64, 4, 18, "tcnn")) is None  # hashed in both: the same entries
    for resolutions, coarsest, finest in ((2, 7, 16), (8, 5, 52)):  # a fused multiply-add; another log2f
        line = without_tinycudann(table_settings(resolutions, coarsest, finest, 3, 18, "tcnn"))
        assert f"may have {finest + 1} nodes at level {resolutions - 1}, which has {finest}" in line


def test_a_package_with_other_table_sizes_is_refused(package, monkeypatch):
    def larger(*arguments, **named):
        encoding = StandIn(*arguments, **named)
        encoding.params = torch.nn.Parameter(torch.zeros(encoding.params.numel() + 8))
        return encoding

    monkeypatch.setattr(package, "Encoding", larger)
    with pytest.raises(RuntimeError, match="expected"):
        with_package("tinycudann")


def test_without_cuda_the_fallback_is_one_line(monkeypatch, lines):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tables, code = make_tables("tinycudann", finest=12), torch.rand(1, 2, 4, 4)
    assert torch.equal(tables.retrieve(code), tables.retrieve(code))
    assert lines == ["retrieval: separable in place of tinycudann: there is no CUDA device"]
    assert with_package("tinycudann", key_length=2) == "gather"
    assert len(lines) == 2


@pytest.mark.parametrize(("installed", "line"), [(False, "docs/tiny-cuda-nn.md"), (True, "Unknown compute capability")])
def test_a_package_that_is_missing_or_does_not_load_is_a_fallback(monkeypatch, lines, tmp_path, installed, line):
    if installed:
        (tmp_path / "tinycudann.py").write_text("raise EnvironmentError('Unknown compute capability')\n")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "tinycudann", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert with_package("tinycudann") == "separable"
    assert len(lines) == 1
    assert line in lines[0]
