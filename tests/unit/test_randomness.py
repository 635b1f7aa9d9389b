"""Random numbers of a training step: a function of (seed, step), whatever the number of processes."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.training.batches import StepRandom

CPU = torch.device("cpu")


def draws(seed, step, batch, process=0, processes=1):
    random = StepRandom(seed, step, batch, CPU, process, processes)
    rows = (process + 1) * batch // processes - process * batch // processes
    return [
        random.uniform((rows, 1, 1, 1)),
        random.normal((rows, 2, 3)),
        random.integers(1000, (rows,)),
        random.normal((rows, 1)),
    ]


@given(st.integers(0, 3), st.integers(0, 100), st.integers(1, 9), st.integers(1, 4))
def test_the_rows_of_several_processes_together_are_those_of_one(seed, step, batch, processes):
    parts = [draws(seed, step, batch, process, processes) for process in range(processes)]
    for whole, *pieces in zip(draws(seed, step, batch), *parts, strict=True):
        assert torch.equal(torch.cat(pieces), whole)


def test_a_step_draws_the_same_again_and_other_steps_and_seeds_draw_others():
    assert all(map(torch.equal, draws(0, 5, 4), draws(0, 5, 4)))
    for other in (draws(0, 6, 4), draws(1, 5, 4)):
        assert not any(map(torch.equal, draws(0, 5, 4), other))


def test_a_step_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    draws(0, 0, 4)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_numbers_have_their_distributions():
    random, count = StepRandom(0, 0, 20_000, CPU), 20_000
    normal, uniform = random.normal((count,)), random.uniform((count,))
    integers = random.integers(5, (count,))
    assert float(normal.mean()) == pytest.approx(0, abs=4 / math.sqrt(count))
    assert float(normal.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / count))
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert float(uniform.var()) == pytest.approx(1 / 12, abs=0.003)
    assert torch.bincount(integers).tolist() == pytest.approx([count / 5] * 5, rel=0.06)
