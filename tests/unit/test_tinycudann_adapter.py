"""The adapter to tiny-cuda-nn, against a stand-in with the package's signature and parameter layout."""

import logging
import sys
from types import ModuleType

import pytest
import torch
from reference_hash_grid import StandIn, hash_tables

from pipeline.base.progress import logger
from pipeline.models.retrieval import KERNELS, choose, differentiated


def make(retrieval, key_length=1, groups=2, convention="tcnn", size=8, features=2, feature_size=4):
    return hash_tables(groups, key_length, 4, 3, 9, features, size, convention, feature_size, retrieval)


def of_package(tables):
    """The adapter for these tables."""
    return KERNELS["tinycudann"].make(tables.levels, tables.settings, tables.feature_size)


def chosen(retrieval, **geometry):
    """The strategy that is chosen for keys of a GPU, which lie on the CPU here."""
    tables = make(retrieval, **geometry)
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
    groups = make("gather", key_length, size=size, feature_size=2)
    tables, code = torch.randn(groups.tables.shape), torch.rand(2, 2, key_length, 2, 2)
    results = [differentiated(strategy, tables, code) for strategy in (of_package(groups), groups.fallback)]
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_the_state_dict_holds_our_tables_alone(package):
    tables = make("tinycudann")
    tables.strategies[torch.device("cpu")] = of_package(tables)
    assert list(tables.state_dict()) == ["tables"]
    assert [name for name, _ in tables.named_parameters()] == ["tables"]


def test_the_package_is_taken_where_it_can_run(package, lines):
    assert chosen("tinycudann") == "tinycudann"
    assert lines == []
    assert chosen("tinycudann", convention="ngp") == "separable"
    assert chosen("tinycudann", features=3) == "separable"
    assert chosen("tinycudann", key_length=3) == "gather"
    assert [line.partition(":")[0] for line in lines] == ["retrieval"] * 3


def test_tensors_on_the_cpu_do_not_go_to_the_package(package):
    tables = make("tinycudann")
    expected = make("separable")
    expected.load_state_dict(tables.state_dict())
    code = torch.rand(1, 2, 4, 4)
    assert torch.equal(tables.retrieve(code), expected.retrieve(code))


def test_a_package_with_other_table_sizes_is_refused(package, monkeypatch):
    class Larger(StandIn):
        def __init__(self, *arguments, **named):
            super().__init__(*arguments, **named)
            self.params = torch.nn.Parameter(torch.zeros(self.params.numel() + 8))

    monkeypatch.setattr(package, "Encoding", Larger)
    with pytest.raises(RuntimeError, match="expected"):
        chosen("tinycudann")


@pytest.fixture
def lines(monkeypatch):
    """What the stage's log gets."""
    found = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield found
    logger.removeHandler(handler)


def test_without_cuda_the_fallback_is_one_line(monkeypatch, lines):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    tables, code = make("tinycudann"), torch.rand(1, 2, 4, 4)
    assert torch.equal(tables.retrieve(code), tables.retrieve(code))
    assert lines == ["retrieval: separable in place of tinycudann: there is no CUDA device"]
    assert chosen("tinycudann", key_length=2) == "gather"
    assert len(lines) == 2


def test_without_the_package_the_fallback_names_the_install_page(monkeypatch, lines):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setitem(sys.modules, "tinycudann", None)
    assert chosen("tinycudann") == "separable"
    assert len(lines) == 1
    assert "docs/tiny-cuda-nn.md" in lines[0]


def test_a_package_that_does_not_load_is_a_fallback_too(monkeypatch, lines, tmp_path):
    (tmp_path / "tinycudann.py").write_text("raise EnvironmentError('Unknown compute capability')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert chosen("tinycudann") == "separable"
    assert len(lines) == 1
    assert "Unknown compute capability" in lines[0]


def test_auto_falls_back_silently(monkeypatch, lines):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    make("auto").retrieve(torch.rand(1, 2, 4, 4))
    assert lines == []
