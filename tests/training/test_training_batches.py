"""The items and random numbers of a step are functions of (seed, step), whatever the number of processes."""

import math

import pytest
import torch
from bright_pipeline.training.batches import StepOrder, StepRandom, TrainingImages
from hypothesis import given
from hypothesis import strategies as st

counts, batches, seeds = st.integers(1, 40), st.integers(1, 12), st.integers(0, 5)


def batches_of(count, batch, seed, first, last, **processes):
    return list(StepOrder(count, batch, seed, first, last, **processes))


@given(counts, batches, seeds)
def test_each_epoch_is_a_permutation(count, batch, seed):
    epochs = 3
    steps = -(-epochs * count // batch)
    items = [item for rows in batches_of(count, batch, seed, 0, steps) for item in rows]
    for epoch in range(epochs):
        assert sorted(items[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(counts, batches, seeds, st.integers(0, 40))
def test_starting_at_any_step_gives_the_same_batches(count, batch, seed, first):
    left = batches_of(count, batch, seed, first, 31)
    assert left == batches_of(count, batch, seed, 0, 31)[first:]
    assert len(StepOrder(count, batch, seed, first, 31)) == len(left)


@given(counts, batches, seeds, st.integers(1, 5))
def test_processes_split_the_global_batch(count, batch, seed, processes):
    parts = [batches_of(count, batch, seed, 0, 6, process=process, processes=processes) for process in range(processes)]
    joined = [[item for part in parts for item in part[step]] for step in range(6)]
    assert joined == batches_of(count, batch, seed, 0, 6)


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = batches_of(50, 50, 0, 0, 2)
    (other,) = batches_of(50, 50, 1, 0, 1)
    assert len({tuple(first), tuple(second), tuple(other)}) == 3


@pytest.mark.parametrize("kept", [True, False])
def test_training_images_come_in_this_order(tiny_images, kept, monkeypatch):
    images = TrainingImages(tiny_images)
    if not kept:
        images.kept = None
        monkeypatch.setattr("bright_pipeline.training.batches.own_cores", lambda: 2)
    order = batches_of(len(images), 4, 3, 2, 6)
    batches = list(images.batches(StepOrder(len(images), 4, 3, 2, 6)))
    assert [len(batch) for batch in batches] == [4] * 4
    for batch, indices in zip(batches, order, strict=True):
        assert (batch == images.archive.tensor(indices)).all()


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
    before = torch.get_rng_state()
    assert all(map(torch.equal, draws(0, 5, 4), draws(0, 5, 4)))
    for other in (draws(0, 6, 4), draws(1, 5, 4)):
        assert not any(map(torch.equal, draws(0, 5, 4), other))
    assert torch.equal(torch.get_rng_state(), before), "the global generator is left alone"


def test_the_numbers_have_their_distributions():
    random, count = StepRandom(0, 0, 20_000, CPU), 20_000
    normal, uniform = random.normal((count,)), random.uniform((count,))
    integers = random.integers(5, (count,))
    assert float(normal.mean()) == pytest.approx(0, abs=4 / math.sqrt(count))
    assert float(normal.var()) == pytest.approx(1, abs=4 * math.sqrt(2 / count))
    assert uniform.min() >= 0 and uniform.max() < 1
    assert float(uniform.var()) == pytest.approx(1 / 12, abs=0.003)
    assert torch.bincount(integers).tolist() == pytest.approx([count / 5] * 5, rel=0.06)
