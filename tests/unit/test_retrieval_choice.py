"""Which strategy reads the tables on a GPU, with strategies that stand in for kernels and keys that lie on the CPU."""

import logging
import math
import time

import pytest
import torch
from reference_hash_grid import hash_tables

from pipeline.base.progress import logger
from pipeline.models import retrieval
from pipeline.models.retrieval import Kernels, choose, seconds
from pipeline.models.retrieval_gather import GatherRetrieval

torch.set_num_threads(1)


class Right(GatherRetrieval):
    """What kernels should be."""

    name = "triton"


class WrongFeatures(Right):
    def __call__(self, tables, code):
        return super().__call__(tables, code) * 1.001


class WrongOfTables(Right):
    def __call__(self, tables, code):
        return super().__call__(tables, code) + 0.01 * (tables - tables.detach()).sum()


class WrongOfKeys(Right):
    def __call__(self, tables, code):
        return super().__call__(tables, code.detach()) + 0 * code.sum()


class NotNumbers(Right):
    def __call__(self, tables, code):
        return super().__call__(tables, code) * torch.nan


class NoCompiler(Right):
    def __call__(self, tables, code):
        raise RuntimeError("Failed to find C compiler.\nPlease specify it.")


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


def chosen(monkeypatch, strategy, asked="triton", problem=None, key_length=1):
    """The strategy for keys of a machine whose only kernels are this strategy."""
    kernels = Kernels(lambda settings: problem, lambda levels, settings, size: strategy(levels, size), True)
    monkeypatch.setattr(retrieval, "KERNELS", {"triton": kernels})
    tables = hash_tables(2, key_length, 4, 3, 20, 2, 10, "tcnn", 4, asked)
    keys = torch.rand(1, 2, key_length, 4, 4)
    return choose(tables.settings, tables.of_torch, 4, tables.tables, keys).name


@pytest.mark.parametrize("key_length", [1, 2])
def test_kernels_that_agree_with_gather_are_used(monkeypatch, lines, key_length):
    assert chosen(monkeypatch, Right, key_length=key_length) == "triton"
    assert lines == []


@pytest.mark.parametrize("asked", ["triton", "auto"])
@pytest.mark.parametrize(
    ("strategy", "line"),
    [
        (WrongFeatures, "its features differ from gather's by up to"),
        (WrongOfTables, "its tables' gradient differ from gather's by up to"),
        (WrongOfKeys, "its keys' gradient differ from gather's by up to"),
        (NotNumbers, "its features differ from gather's by up to nan"),
        (NoCompiler, "it does not run here (RuntimeError: Failed to find C compiler.)"),
    ],
)
def test_kernels_that_differ_from_gather_give_way_to_torch_with_one_line(monkeypatch, lines, strategy, line, asked):
    assert chosen(monkeypatch, strategy, asked) == "separable"
    assert len(lines) == 1
    assert lines[0].startswith(f"retrieval: separable in place of triton: {line}")


def test_kernels_that_cannot_run_are_named_where_they_are_asked_for(monkeypatch, lines):
    assert chosen(monkeypatch, Right, "auto", "no card") == "separable"
    assert lines == []
    assert chosen(monkeypatch, Right, "triton", "no card", key_length=2) == "gather"
    assert lines == ["retrieval: gather in place of triton: no card"]


@pytest.mark.parametrize("asked", ["gather", "separable"])
def test_a_strategy_of_torch_that_is_asked_for_is_used_on_every_device(monkeypatch, lines, asked):
    assert chosen(monkeypatch, NoCompiler, asked) == asked
    assert lines == []


@pytest.mark.parametrize("fast", ["triton", "separable"])
def test_auto_takes_the_fastest_and_says_so(monkeypatch, lines, fast):
    monkeypatch.setattr(retrieval, "seconds", lambda strategy, tables, keys: 0.001 if strategy.name == fast else 0.0255)
    assert chosen(monkeypatch, Right, "auto") == fast
    assert len(lines) == 1
    assert lines[0].startswith(f"retrieval: {fast} is the fastest here (milliseconds a pass: triton ")
    assert "25.50" in lines[0]


def test_auto_times_passes_of_the_keys_themselves(monkeypatch):
    class Slow(Right):
        def __call__(self, tables, code):
            shapes.append((tables.shape, code.shape))
            time.sleep(0.02)
            return super().__call__(tables, code)

    shapes = []
    monkeypatch.setattr(retrieval, "TIMED_S", 0.1)
    tables = hash_tables(3, 1, 4, 3, 20, 2, 10, "tcnn", 4)
    keys = torch.rand(5, 3, 1, 4, 4)
    assert 0.02 <= seconds(Slow(tables.levels, 4), tables.tables, keys) < math.inf
    assert set(shapes) == {(tables.tables.shape, keys.shape)}
    assert len(shapes) < 5


def test_a_pass_counts_with_its_gradients_where_they_are_wanted(monkeypatch):
    asked = []
    monkeypatch.setattr(retrieval, "differentiated", lambda *given: asked.append(given))
    monkeypatch.setattr(retrieval, "MOST_PASSES", 2)
    tables = hash_tables(2, 1, 2, 3, 5, 2, 10, "tcnn", 4)
    with torch.no_grad():
        seconds(tables.of_torch, tables.tables, torch.rand(1, 2, 1, 4, 4))
    assert asked == []
    seconds(tables.of_torch, tables.tables, torch.rand(1, 2, 1, 4, 4))
    assert len(asked) == 3


def test_a_strategy_that_runs_out_of_memory_is_not_taken():
    class Large(Right):
        def __call__(self, tables, code):
            raise torch.cuda.OutOfMemoryError

    tables = hash_tables(2, 1, 2, 3, 5, 2, 10, "tcnn", 4)
    assert seconds(Large(tables.levels, 4), tables.tables, torch.rand(1, 2, 1, 4, 4)) == math.inf


def test_a_strategy_is_chosen_once_for_a_device(lines):
    tables = hash_tables(2, 1, 2, 3, 5, 2, 10, "tcnn", 4, "triton")
    for _ in range(3):
        tables.retrieve(torch.rand(1, 2, 4, 4))
    assert len(lines) == (0 if torch.cuda.is_available() else 1)


def test_random_numbers_of_a_training_do_not_know_of_the_comparison(monkeypatch):
    before = torch.get_rng_state()
    tables = hash_tables(2, 1, 2, 3, 5, 2, 10, "tcnn", 4)
    kernels = Kernels(lambda settings: None, lambda levels, settings, size: Right(levels, size), True)
    torch.set_rng_state(before)
    assert retrieval.difference(kernels, tables.settings, 4, torch.device("cpu")) is None
    assert torch.equal(torch.get_rng_state(), before)
